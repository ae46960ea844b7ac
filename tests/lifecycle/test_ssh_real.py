"""The OpenSSH client and server of this machine, with keys and a port of the test's own."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lifecycle import ssh
from lifecycle.capture import capture
from lifecycle.errors import LifecycleError
from lifecycle.listing import read_files
from lifecycle.probe import PATTERNS, probe_topology, read_topology, topology_of
from lifecycle.reach import Where
from lifecycle.ssh import SshHost, run_program
from planner import where
from tests.lifecycle.sshd import Sshd, free_port, new_key, serve_ssh


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with pytest.MonkeyPatch.context() as path, serve_ssh(tmp_path_factory.mktemp("d"), path) as it:
        yield it


@pytest.fixture
def sshd(running: Sshd) -> Sshd:
    running.known_hosts()
    return running


def host(url: str, known_hosts: Path) -> SshHost:
    return SshHost.parse(Where(docker=url, known_hosts=str(known_hosts)))


def refusal(url: str, known_hosts: Path) -> LifecycleError:
    with pytest.raises(LifecycleError) as refused:
        run_program(host(url, known_hosts), "true", step="looking")
    assert (refused.value.subject, refused.value.step) == (url, "looking")
    return refused.value


def test_another_host_is_captured_as_this_machine_is(sshd: Sshd, tmp_path: Path) -> None:
    """The other host is this machine too, so both must say the same."""
    text = capture("far", url=sshd.url, known_hosts=str(sshd.known_hosts()), directory=tmp_path)

    assert text.splitlines()[0].startswith(f"{sshd.url}: ")
    assert read_topology(str(tmp_path / "far.json")) == probe_topology()


def test_its_files_are_read_whole(sshd: Sshd) -> None:
    far = host(sshd.url, sshd.known_hosts())

    files = read_files(far, ("proc/cpuinfo", "etc/passwd", "proc/version"))

    assert files == {path: Path("/", path).read_text() for path in files}
    assert sorted(files) == ["etc/passwd", "proc/cpuinfo", "proc/version"]
    assert topology_of(read_files(far, PATTERNS)) == probe_topology()


def test_a_host_whose_key_nobody_pinned_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    pins = tmp_path / "empty"
    pins.touch()

    error = refusal(sshd.url, pins)

    assert error.seen == (
        f"its host key is not in {pins}, so nobody can tell that it is the right machine"
    )
    assert "KNOWN_HOSTS" in error.remedy
    assert pins.read_text() == ""


def test_a_host_with_another_key_than_the_pinned_one_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    pins = sshd.known_hosts(new_key(tmp_path / "other"))

    error = refusal(sshd.url, pins)

    assert error.seen.startswith(
        f"its host key is not the one that {pins} has for [127.0.0.1]:{sshd.port}: "
    )
    assert f"`ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {pins}`" in error.remedy


def test_a_user_whom_the_host_does_not_let_in_is_named(sshd: Sshd) -> None:
    url = f"ssh://nobody-of-ours@127.0.0.1:{sshd.port}"

    error = refusal(url, sshd.known_hosts())

    assert error.seen.startswith("it does not let the user 'nobody-of-ours' in (")
    assert f"`ssh -l nobody-of-ours -p {sshd.port} 127.0.0.1 true`" in error.remedy


def test_a_port_where_nothing_listens_is_named(sshd: Sshd) -> None:
    port = free_port()

    error = refusal(f"ssh://me@127.0.0.1:{port}", sshd.known_hosts())

    assert error.seen == f"nothing listens on its port {port}"


def test_a_host_that_stays_silent_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(where._ALWAYS, "ConnectTimeout", "1")  # noqa: SLF001
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        error = refusal(f"ssh://me@127.0.0.1:{port}", sshd.known_hosts())

    assert error.seen.startswith(f"it does not answer on port {port} (")


def test_a_host_that_ends_the_connection_at_once_is_said_to(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
        far = host(f"ssh://me@127.0.0.1:{port}", sshd.known_hosts())
        ender = Thread(target=lambda: closing.accept()[0].close())
        ender.start()
        with pytest.raises(LifecycleError) as refused:
            run_program(far, "true", step="looking")
        ender.join()

    assert refused.value.seen.startswith("it ended the connection before the answer (")


def test_a_program_that_takes_too_long_is_ended(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "RUN_TIMEOUT_S", 2)
    far = host(sshd.url, sshd.known_hosts())

    with pytest.raises(LifecycleError) as refused:
        run_program(far, "sleep 30", step="looking")

    assert refused.value.seen == "it did not answer within 2 s"


def test_a_user_whose_shell_refuses_is_told(sshd: Sshd) -> None:
    far = host(sshd.url, sshd.known_hosts())

    with pytest.raises(LifecycleError) as refused:
        run_program(far, "echo 'This account is closed.' >&2; exit 1", step="looking")

    assert refused.value.seen == (
        f"a shell program of {sshd.user!r} fails there (exit status 1: This account is closed)"
    )
