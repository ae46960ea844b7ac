import io
import re
import tarfile
import time
from pathlib import Path

import pytest
import requests
from docker.errors import APIError, NotFound

from lifecycle import docker_host
from lifecycle.errors import LifecycleError
from lifecycle.reach import Where, reach
from tests.lifecycle.docker_double import Engine, Machine, as_container, refusal
from tests.lifecycle.local_server import LocalServer, serve

REMEDY = (
    "\n  What to do: start Docker there (`make up` does on this machine), or correct `docker` of "
    "the host in the stack's settings."
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(name="one", calls=[], mounts={"/data": tmp_path})


def message_of(url: str) -> str:
    with pytest.raises(LifecycleError) as refused:
        reach(Where(docker=url), timeout_s=1)
    return str(refused.value)


def test_a_socket_that_is_not_there_is_told_with_its_url(tmp_path: Path) -> None:
    message = message_of(f"unix://{tmp_path}/docker.sock")

    fact = re.escape(f"unix://{tmp_path}/docker.sock: connecting to Docker: no engine answers (")
    assert re.fullmatch(f"{fact}.*No such file or directory.*{re.escape(REMEDY)}", message)


def test_a_url_that_docker_does_not_know_is_told_the_same_way() -> None:
    assert message_of("nonsense").startswith("nonsense: connecting to Docker: no engine answers (")


def test_an_engine_that_is_broken_is_told_the_same_way() -> None:
    with serve(LocalServer(answers={"GET /version": [(500, "out of order")]})) as broken:
        message = message_of(f"tcp://127.0.0.1:{broken.port}")

    assert "no engine answers (" in message
    assert message.endswith(REMEDY)


def test_an_engine_that_is_silent_is_given_up() -> None:
    with serve(LocalServer(answers={"GET /version": [None]})) as silent:
        message = message_of(f"tcp://127.0.0.1:{silent.port}")

    assert "timed out" in message


def test_an_engine_that_answers_is_connected_to() -> None:
    answers = {
        "GET /version": [(200, '{"ApiVersion": "1.47"}')],
        "GET /v1.47/_ping": [(200, "OK")],
    }
    with serve(LocalServer(answers=dict(answers))) as engine:
        client = reach(Where(docker=f"tcp://127.0.0.1:{engine.port}")).client

        assert client.ping()
        client.close()


def test_a_container_that_is_not_there_is_none(machine: Machine) -> None:
    engine = Engine(machines={"one": machine})

    found = docker_host.find(engine.client, "one")

    assert found is not None
    assert found.name == "one"
    assert docker_host.find(engine.client, "other") is None


def test_the_last_lines_of_a_log_are_its_last_ones_without_the_empty_ones(machine: Machine) -> None:
    machine.log = "".join(f"line {n}  \n" for n in range(30)) + "\n"

    lines = docker_host.last_lines(as_container(machine))

    assert lines == tuple(f"line {n}" for n in range(16, 30))


def test_a_command_gives_what_it_wrote_to_standard_output(machine: Machine) -> None:
    output = docker_host.run(as_container(machine), "sh", "-c", "echo out; echo aside >&2")

    assert output == "out\n"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("echo out; echo reason >&2; exit 3", "reason\nout"),
        ("exit 3", "exit status 3"),
    ],
)
def test_a_command_that_fails_gives_what_it_wrote_else_its_status(
    machine: Machine, script: str, text: str
) -> None:
    with pytest.raises(docker_host.CommandError) as failed:
        docker_host.run(as_container(machine), "sh", "-c", script)

    assert str(failed.value) == text


def test_a_command_that_docker_refuses_is_told_in_dockers_words(machine: Machine) -> None:
    machine.refusals["exec"] = refusal("container one is paused", 409)

    with pytest.raises(docker_host.CommandError) as failed:
        docker_host.run(as_container(machine), "true")

    assert str(failed.value) == "container one is paused"


def test_a_command_that_does_not_end_is_given_up(machine: Machine) -> None:
    """Whatever holds it up, a frozen host or a frozen container; the SDK itself would wait."""
    begun = time.monotonic()

    with pytest.raises(docker_host.CommandError) as failed:
        docker_host.run(as_container(machine), "sleep", "60", within_s=0.2)

    assert str(failed.value) == "`sleep` did not end within 0.2 s"
    assert time.monotonic() - begun < 20


def test_a_command_whose_engine_goes_away_fails_as_the_engine_does(machine: Machine) -> None:
    machine.refusals["exec"] = requests.exceptions.ConnectionError("cut")

    with pytest.raises(requests.exceptions.ConnectionError, match="cut"):
        docker_host.run(as_container(machine), "true")


@pytest.mark.parametrize(
    ("refused", "is_gone"),
    [
        (refusal("container 1234 is not running", 409), True),
        (refusal("No such container: 1234", 404), True),
        (refusal("Container 1234 is paused, unpause the container before exec", 409), False),
        (refusal("OCI runtime exec failed: unable to start container process"), False),
    ],
    ids=["not running", "removed", "paused", "broken"],
)
def test_a_container_that_is_gone_is_told_from_one_that_does_not_do(
    machine: Machine, refused: APIError, *, is_gone: bool
) -> None:
    machine.refusals["exec"] = refused

    with pytest.raises(docker_host.CommandError) as failed:
        docker_host.run(as_container(machine), "true")

    assert isinstance(failed.value, docker_host.ContainerGoneError) == is_gone


def test_an_archive_holds_directories_first_each_entry_with_its_owner() -> None:
    archive = docker_host.tar_of(
        {"a/b": b"content", "c": b""}, uid=5, gid=6, directories=("a", "d")
    )

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        entries = tar.getmembers()
        content = tar.extractfile("a/b")
        assert content is not None
        assert content.read() == b"content"
    assert [(e.name, e.isdir(), e.mode, e.uid, e.gid) for e in entries] == [
        ("a", True, 0o755, 5, 6),
        ("d", True, 0o755, 5, 6),
        ("a/b", False, 0o644, 5, 6),
        ("c", False, 0o644, 5, 6),
    ]


def test_an_archive_of_the_same_files_has_the_same_bytes() -> None:
    assert docker_host.tar_of({"a": b"1"}) == docker_host.tar_of({"a": b"1"})


def test_a_temporary_container_is_removed_whatever_happens(machine: Machine) -> None:
    with pytest.raises(KeyboardInterrupt), docker_host.temporary(as_container(machine)):
        raise KeyboardInterrupt

    assert machine.calls == ["one: remove by force"]


def test_what_went_wrong_in_a_temporary_container_is_not_hidden_by_its_removal(
    machine: Machine,
) -> None:
    machine.refusals["remove"] = requests.exceptions.ConnectionError("cut")

    with pytest.raises(KeyError, match="first"), docker_host.temporary(as_container(machine)):
        raise KeyError("first")


def test_a_temporary_container_that_went_by_itself_is_no_fault(machine: Machine) -> None:
    machine.refusals["remove"] = NotFound("404 Client Error: No such container: one")

    with docker_host.temporary(as_container(machine)):
        pass
