"""A host behind this machine's own OpenSSH server, with a Docker engine of the test's own."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread

import pytest
from requests.exceptions import RequestException

from lifecycle import reach as reaching
from lifecycle import tunnel
from lifecycle.docker_failure import speaking_with
from lifecycle.errors import LifecycleError, RefusedError, UnreachableError
from lifecycle.reach import Link, Where, reach
from planner import where as settings
from tests.lifecycle.local_server import LocalServer, serve
from tests.lifecycle.sshd import Sshd, free_port, new_key, serve_ssh

Serve = Callable[..., AbstractContextManager[Sshd]]

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    b'{"ApiVersion": "1.47"}\n'
)


class _Engine(ThreadingUnixStreamServer):
    """Answers every request alike; a client asks for the version, and whether it is there."""

    daemon_threads = True

    def finish_request(self, request: object, _: object) -> None:
        assert isinstance(request, socket.socket)
        while request.recv(65536):
            request.sendall(_ANSWER)


@pytest.fixture(autouse=True)
def _no_connection_outlives_its_server() -> Iterator[None]:
    yield
    reaching._TUNNELS.end_all()  # noqa: SLF001


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with pytest.MonkeyPatch.context() as path, serve_ssh(tmp_path_factory.mktemp("d"), path) as it:
        yield it


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Starts one more server, with settings of its own."""
    folder = tmp_path / "another"
    folder.mkdir()
    return lambda settings="": serve_ssh(folder, monkeypatch, settings=settings)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engine of the host listens; nothing does yet."""
    path = tmp_path_factory.mktemp("e") / "docker.sock"
    monkeypatch.setattr(tunnel, "REMOTE_SOCKET", str(path))
    return path


@contextmanager
def running(path: Path) -> Iterator[None]:
    with _Engine(str(path), lambda *_: None) as server:  # type: ignore[arg-type]
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@pytest.fixture
def far(sshd: Sshd, engine: Path) -> Iterator[Where]:
    """The host, with an engine that answers."""
    with running(engine):
        yield pinned(sshd)


def pinned(sshd: Sshd, key: str | None = None) -> Where:
    return Where(docker=sshd.url, host_key=" ".join((key or sshd.host_key).split()[:2]))


def refusal(where: Where) -> LifecycleError:
    with pytest.raises(LifecycleError) as refused:
        reach(where)
    assert refused.value.subject == where.docker
    return refused.value


def get(link: Link, port: int) -> bytes:
    connection = link.http("127.0.0.1", port, 5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_its_docker_engine_answers(far: Where) -> None:
    assert reach(far).client.version()["ApiVersion"] == "1.47"


def test_its_files_are_read_as_those_of_this_machine_are(far: Where) -> None:
    here = Where(docker=f"unix://{tunnel.REMOTE_SOCKET}")
    patterns = ("proc/self/status", "etc/os-release", "no/such/file")

    files, own = (
        reach(where).read_files(patterns, containing=("_allowed_list:", "ID="))
        for where in (far, here)
    )

    assert files == own
    assert "Cpus_allowed_list:\t" in files["proc/self/status"]
    assert "Name:" not in files["proc/self/status"]


def test_what_is_left_on_its_disk_is_known(far: Where, tmp_path: Path) -> None:
    link, here = reach(far), shutil.disk_usage(tmp_path).free
    left = link.free_bytes(str(tmp_path))

    assert left is not None
    # Others write to it meanwhile.
    assert abs(left - here) < 2**30
    assert link.free_bytes("/no/such 'folder'") is None


def test_a_port_there_is_reached_from_there(far: Where) -> None:
    with serve(LocalServer(answers={"GET /": [(200, "hello")] * 2})) as server:
        link = reach(far)

        assert [get(link, server.port) for _ in range(2)] == [b"hello", b"hello"]


def test_a_port_there_that_nothing_has_is_an_error_at_once(far: Where) -> None:
    """Not the time-out that a port has which nothing refuses."""
    with pytest.raises(ConnectionError):
        get(reach(far), free_port())


def test_an_answer_that_does_not_come_is_given_up(far: Where) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = reach(far).http("127.0.0.1", silent.getsockname()[1], 0.5)
        connection.request("GET", "/")

        with pytest.raises(TimeoutError):
            connection.getresponse()


def test_whoever_asks_for_a_host_gets_the_same_connection(far: Where) -> None:
    assert reach(far).tunnel is reach(far, timeout_s=5).tunnel


def test_a_file_of_keys_does_as_well_as_a_key(sshd: Sshd, far: Where) -> None:
    assert reach(Where(docker=far.docker, known_hosts=str(sshd.known_hosts()))).client.version()


def test_another_key_than_the_pinned_one_is_refused(
    sshd: Sshd, engine: Path, tmp_path: Path
) -> None:
    with running(engine):
        error = refusal(pinned(sshd, new_key(tmp_path / "other")))

    assert isinstance(error, RefusedError)
    assert error.seen.startswith(
        f"its host key is not the one that `host-key` has for [127.0.0.1]:{sshd.port}: "
    )


def test_a_file_of_keys_that_is_not_there_is_named(far: Where) -> None:
    error = refusal(Where(docker=far.docker, known_hosts="hosts/no_such_file"))

    assert isinstance(error, RefusedError)
    assert error.seen == "there is no file 'hosts/no_such_file'"


def test_a_host_without_docker_is_told_from_one_whose_docker_does_not_answer(
    sshd: Sshd, engine: Path
) -> None:
    absent = refusal(pinned(sshd))
    with socket.socket(socket.AF_UNIX) as unheard:
        unheard.bind(str(engine))
        silent = refusal(pinned(sshd))

    assert isinstance(absent, UnreachableError)
    assert absent.seen == f"it has no Docker socket {engine}"
    assert isinstance(silent, UnreachableError)
    assert silent.seen.startswith(f"no engine answers behind its Docker socket {engine} (")


@pytest.mark.parametrize(
    "setting", ["AllowStreamLocalForwarding no", "AllowTcpForwarding no", "PermitOpen none"]
)
def test_a_server_that_lets_no_socket_through_says_what_to_allow(
    another: Serve, engine: Path, setting: str
) -> None:
    with running(engine), another(f"{setting}\n") as sshd:
        error = refusal(pinned(sshd))

    assert isinstance(error, UnreachableError)
    assert error.seen.startswith(f"no engine answers behind its Docker socket {engine} (")
    assert setting.split()[0] in error.remedy


def test_a_host_that_goes_away_meanwhile_is_unreachable(another: Serve, engine: Path) -> None:
    """A connection of a stopped server goes on, so it ends here by the client's end."""
    with running(engine), another() as sshd:
        where = pinned(sshd)
        link = reach(where)
        assert link.tunnel is not None
        link.tunnel.close()

        with pytest.raises(UnreachableError) as gone, speaking_with(where.docker, step="looking"):
            link.client.ping()
        again = reach(where)

        assert again.client.version()
    assert gone.value.seen.startswith(f"Docker at {where.docker} does not answer any more (")


def test_the_connection_ends_with_a_process_that_is_killed(far: Where) -> None:
    """Nothing is told to a process that is killed; what it had begun must not stay."""
    program = (
        "import sys, time; from lifecycle import tunnel; from lifecycle.reach import Where, reach\n"
        "tunnel.REMOTE_SOCKET = sys.argv[1]\n"
        "link = reach(Where.model_validate_json(sys.argv[2]))\n"
        "print(link.tunnel._master.pid, link.tunnel.docker_socket.parent, flush=True)\n"
        "time.sleep(60)"
    )
    argv = [sys.executable, "-c", program, tunnel.REMOTE_SOCKET, far.model_dump_json()]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        client, folder = process.stdout.readline().split()

        process.send_signal(signal.SIGKILL)

    # Who is killed leaves that.
    shutil.rmtree(folder)
    assert has_ended(int(client))


def has_ended(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def children_of(pid: int) -> list[int]:
    """The processes that serve its connections."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def test_a_host_that_falls_silent_meanwhile_is_given_up_within_a_bound(
    another: Serve, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks three times whether it is still there."""
    monkeypatch.setitem(settings._ALWAYS, "ServerAliveInterval", "1")  # noqa: SLF001
    with running(engine), another() as sshd:
        link = reach(pinned(sshd))
        children = children_of(sshd.process.pid)
        for child in children:
            os.kill(child, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            with suppress(RequestException, http.client.HTTPException, OSError):
                link.client.ping()
        finally:
            took = time.monotonic() - begun
            for child in children:
                os.kill(child, signal.SIGCONT)

    assert took < 30
    assert children
