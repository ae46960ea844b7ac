import errno
import os
import re
import socket
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, DockerException

from lifecycle.docker_failure import reason, speaking_with, timed_out, unanswered
from lifecycle.errors import CutOffError, LifecycleError, UnreachableError
from tests.lifecycle.docker_double import refusal

URL = "unix:///var/run/docker.sock"
CUT = requests.exceptions.ConnectionError(
    Exception("Connection aborted.", ConnectionRefusedError(111, "Connection refused"))
)
SLOW = requests.exceptions.ConnectionError("UnixHTTPConnectionPool(): Read timed out.")


def message_of(error: Exception, **how: str) -> str:
    with (
        pytest.raises(LifecycleError) as told,
        speaking_with(URL, **{"step": "draining", **how}),
    ):
        raise error
    return str(told.value)


def test_an_engine_that_goes_away_is_told_with_its_url_and_how_to_start_it() -> None:
    assert message_of(CUT, subject="box-node0-0") == (
        "box-node0-0: draining: Docker at unix:///var/run/docker.sock does not answer any more "
        "(Connection refused).\n"
        "  What to do: start it again (`make up` does on this machine), then run `pulumi up` again."
    )


def test_a_call_that_is_refused_is_told_in_the_engines_words() -> None:
    assert message_of(refusal("network stack-instances not found.", 404), again="this") == (
        f"{URL}: draining: Docker refuses a call: network stack-instances not found.\n"
        "  What to do: mend what the message names; the Docker daemon's log may say more, then "
        "run this again."
    )


def test_an_engine_that_is_too_slow_is_told_as_that() -> None:
    assert "did not answer in time.\n  What to do: see in the Docker daemon's log" in message_of(
        SLOW
    )


def test_what_is_not_dockers_fault_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), speaking_with(URL, step="counting"):
        raise ZeroDivisionError


def test_a_step_that_was_told_already_is_not_told_again() -> None:
    known = LifecycleError(subject="one", step="two", seen="three", remedy="four")

    with pytest.raises(LifecycleError) as told, speaking_with(URL, step="counting"):
        raise known

    assert told.value is known


@pytest.mark.parametrize(
    "error",
    [
        refusal("open /etc/x/nginx.conf: no space left on device"),
        refusal("write /run/desktop: No space left on device"),
    ],
)
def test_a_full_disk_is_told_with_where_to_make_space(error: APIError) -> None:
    message = message_of(error)

    assert "no space left on device" in message.lower()
    assert message.endswith(
        "What to do: make space on that disk (Docker's own is at the Docker Root Dir that `docker "
        "info` shows, and `docker system df` says what takes it), then run this again: it goes on "
        "from here."
    )


def test_a_cpu_set_that_cannot_be_had_is_no_full_disk() -> None:
    """The kernel answers ENOSPC where the parent group has no CPUs or memory nodes to give."""
    error = refusal("write /sys/fs/cgroup/cpuset/docker/1/tasks: no space left on device")

    assert "make space" not in message_of(error)


def test_a_log_that_ends_on_a_full_disk_is_told_with_where_to_make_space() -> None:
    error = LifecycleError(
        subject="volume",
        step="converting",
        seen="exit status 1",
        log_lines=("OSError: [Errno 28] No space left on device",),
        remedy="correct what its log names",
    )

    assert error.remedy.startswith("make space on that disk")


def test_the_reason_is_the_innermost_words_of_the_system() -> None:
    error = DockerException(f"Error while fetching server API version: {CUT}")
    error.__cause__ = CUT

    assert reason(error) == "Connection refused"


def test_an_error_without_a_cause_is_its_own_reason() -> None:
    assert reason(DockerException("Invalid bind address protocol: x")) == (
        "Invalid bind address protocol: x"
    )


def test_errors_that_name_each_other_have_an_end() -> None:
    first, second = DockerException("first"), DockerException("second")
    first.__cause__, second.__cause__ = second, first

    assert reason(first) == "first"


@pytest.mark.parametrize("error", [SLOW, requests.exceptions.ReadTimeout("Read timed out.")])
def test_a_wait_beyond_its_bound_is_known(error: Exception) -> None:
    assert timed_out(error)
    assert not timed_out(CUT)


def test_a_socket_that_this_user_may_not_open_is_told_with_the_group(tmp_path: Path) -> None:
    error = DockerException("Error while fetching server API version")
    error.__cause__ = PermissionError(13, "Permission denied")

    assert re.fullmatch(
        r"unix://.*: connecting to Docker: no engine answers \(Permission denied\)\.\n"
        r"  What to do: add this user to the group that may \(`usermod -aG docker USER`, then log "
        r"in again\), or run this as root\.",
        str(unanswered(f"unix://{tmp_path}/docker.sock", error)),
    )


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), CutOffError),
        (OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH)), CutOffError),
        (OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)), UnreachableError),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), UnreachableError),
    ],
    ids=["name", "network", "host", "port"],
)
def test_what_this_machine_lacks_is_told_from_a_host_that_is_not_there(
    cause: OSError, kind: type[LifecycleError]
) -> None:
    error = DockerException("Error while fetching server API version")
    error.__cause__ = cause

    found = unanswered("tcp://far:2376", error)

    assert type(found) is kind
    assert found.seen == f"no engine answers ({cause.strerror})"
    assert ("/etc/hosts" in found.remedy) == (kind is CutOffError)
