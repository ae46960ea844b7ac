"""The Docker engine: the running one, or one that is brought up."""

import dataclasses
import http.server
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine import docker_engine, docker_ping
from engine.docker_engine import Machine
from engine.errors import EngineError

DEBIAN_ROOT = Machine(
    is_root=True, distribution=frozenset({"debian"}), init="sh", missing=("dockerd", "iptables")
)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `GET /_ping` and nothing else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/_ping" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test's output clean."""

    def address_string(self) -> str:
        return "unix"


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[str]:
    """A Docker engine, as far as `_ping` goes."""
    path = tmp_path / "docker.sock"
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"unix://{path}"
        server.shutdown()


def test_a_running_engine_is_used_as_it_is(
    engine_socket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    docker_engine.ensure({"DOCKER_HOST": engine_socket})

    said = capsys.readouterr().err
    assert said == f"engine: docker: the engine at {engine_socket} is used as it is\n"


def test_a_docker_host_that_does_not_answer_is_not_replaced(tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/none.sock"

    with pytest.raises(EngineError, match=r"No such file.*unset DOCKER_HOST to use this machine's"):
        docker_engine.ensure({"DOCKER_HOST": address})


def test_an_ssh_host_is_left_to_those_who_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    docker_engine.ensure({"DOCKER_HOST": "ssh://user@host"})

    assert "ssh://user@host is reached over SSH" in capsys.readouterr().err


def test_what_speaks_no_http_is_no_docker_engine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=answer).start()
        refusal = docker_ping.ping(f"tcp://127.0.0.1:{port}")

    assert "not HTTP" in str(refusal)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is_root": False}, "only root may start one. Start Docker, set DOCKER_HOST, or run this"),
        (
            {"distribution": frozenset({"fedora", "rhel"})},
            "on fedora, rhel is not known here. Install Docker and start it",
        ),
        ({"distribution": frozenset()}, "on an unknown distribution is not known here"),
    ],
    ids=["not root", "another distribution", "no os-release"],
)
def test_where_none_can_be_started_the_remedy_is_told_and_nothing_is_run(
    change: dict[str, object], said: str
) -> None:
    ran: list[Sequence[str]] = []

    with pytest.raises(EngineError, match=said):
        docker_engine.bring_up(dataclasses.replace(DEBIAN_ROOT, **change), run=ran.append)  # type: ignore[arg-type]

    assert ran == []


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the start and the wait, and record them."""
    calls: list[str] = []
    monkeypatch.setattr(docker_engine, "_start", lambda: calls.append("dockerd"))
    monkeypatch.setattr(docker_engine, "_wait", lambda _process: calls.append("wait"))
    return calls


def test_what_is_missing_is_installed_before_dockerd_is_started(started: list[str]) -> None:
    ran: list[Sequence[str]] = []

    docker_engine.bring_up(DEBIAN_ROOT, run=ran.append)

    assert [" ".join(command) for command in ran] == [
        "apt-get update -qq",
        "apt-get install -qq -y --no-install-recommends docker.io iptables",
    ]
    assert started == ["dockerd", "wait"]


def test_an_installed_engine_is_started_on_any_distribution(started: list[str]) -> None:
    ran: list[Sequence[str]] = []
    machine = dataclasses.replace(DEBIAN_ROOT, missing=(), distribution=frozenset({"arch"}))

    docker_engine.bring_up(machine, run=ran.append)

    assert (ran, started) == ([], ["dockerd", "wait"])


def test_under_systemd_the_unit_is_started(started: list[str]) -> None:
    ran: list[Sequence[str]] = []

    docker_engine.bring_up(
        dataclasses.replace(DEBIAN_ROOT, missing=(), init="systemd"), run=ran.append
    )

    assert [" ".join(command) for command in ran] == ["systemctl start docker"]
    assert started == ["wait"]


def test_a_daemon_that_ends_at_once_shows_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(40)))
    with subprocess.Popen(["/bin/sh", "-c", "exit 7"]) as ended:
        ended.wait()

        with pytest.raises(EngineError) as refusal:
            docker_engine._wait(  # noqa: SLF001
                ended, address=f"unix://{tmp_path}/none.sock", log=log, seconds=30
            )

    assert "ended with 7" in str(refusal.value)
    assert str(log) in str(refusal.value)
    assert str(refusal.value).endswith("line 38\nline 39")
    assert "line 20" not in str(refusal.value)


def test_a_daemon_that_never_answers_is_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    with subprocess.Popen(["/bin/sleep", "60"]) as silent:
        with pytest.raises(EngineError, match="does not answer"):
            docker_engine._wait(  # noqa: SLF001
                silent, address=f"unix://{tmp_path}/none.sock", log=log, seconds=0.1
            )
        silent.kill()


def test_a_command_that_fails_is_quoted_with_what_it_said() -> None:
    with pytest.raises(EngineError, match=r"(?s)`/bin/sh -c echo seen; exit 5` ended with 5.*seen"):
        docker_engine._run(("/bin/sh", "-c", "echo seen; exit 5"))  # noqa: SLF001
