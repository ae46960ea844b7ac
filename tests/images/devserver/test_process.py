"""The whole process: what it does before its models are loaded, and what ends it."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from images.devserver.devserver.server import bind
from tests.images.devserver.conftest import Api, question, wait_until

ROOT = Path(__file__).parents[3]
GRAPH = "LLMCalculatorOptions {}"


@dataclass(frozen=True, slots=True)
class Process:
    """A started server."""

    popen: "subprocess.Popen[str]"
    api: Api

    def get(self, path: str) -> int:
        """The status of *path*; 0 while the port is closed."""
        try:
            return self.api.call("GET", path).status
        except OSError:
            return 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, float]:
        """Send a signal; return the exit code, the log and the seconds it took."""
        started = time.monotonic()
        self.popen.send_signal(number)
        log, _ = self.popen.communicate(timeout=60)
        return self.popen.returncode, log, time.monotonic() - started


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the server over fake models, on a port that is free."""
    started: list[subprocess.Popen[str]] = []

    def run(*flags: str) -> Process:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        argv = [sys.executable, "-m", "tests.images.devserver.fakes", "--rest_port", str(port)]
        popen = subprocess.Popen(
            [*argv, "--rest_bind_address", "127.0.0.1", *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(popen)
        return Process(popen, Api(port))

    yield run
    for popen in started:
        popen.kill()
        popen.communicate()


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., str]:
    """Write a models directory; each keyword is a model and how it loads."""

    def write(**models: dict[str, object]) -> str:
        entries = []
        for name, says in models.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "fake.json").write_text(json.dumps(says))
            (tmp_path / name / "graph.pbtxt").write_text(GRAPH)
            entries.append({"config": {"name": name}})
        path = tmp_path / "config.json"
        path.write_text(json.dumps({"model_config_list": entries}))
        return str(path)

    return write


def test_the_port_is_open_before_the_model_is_loaded(
    start: Start, config: Callable[..., str], tmp_path: Path
) -> None:
    server = start("--config_path", config(m={"awaits": "go"}))

    wait_until(lambda: server.get("/v2/health/live") == 200)
    assert server.get("/v2/models/m/ready") == 404
    assert server.get("/v2/health/ready") == 503
    assert server.api.chat().status == 404
    (tmp_path / "m" / "go").touch()
    wait_until(lambda: server.get("/v2/models/m/ready") == 200)
    assert server.get("/v2/health/ready") == 200
    assert server.api.chat().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_with_0_and_cuts_what_is_being_generated(
    start: Start, config: Callable[..., str], number: signal.Signals
) -> None:
    server = start("--config_path", config(m={}))
    wait_until(lambda: server.get("/v2/models/m/ready") == 200)
    connection = server.api.connect()
    asked = question(stream=True, ignore_eos=True, max_tokens=90_000)
    server.api.send(connection, "POST", "/v3/chat/completions", asked)
    response = connection.getresponse()
    assert response.read(10)

    code, log, seconds = server.end(number)

    assert code == 0
    assert "stopped" in log
    assert "Traceback" not in log
    assert seconds < 30
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        response.read()
    connection.close()


def test_a_signal_during_a_load_waits_for_the_load(
    start: Start, config: Callable[..., str], tmp_path: Path
) -> None:
    server = start("--config_path", config(m={"awaits": "go"}))
    wait_until((tmp_path / "m" / "loading").exists)

    server.popen.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        server.popen.wait(timeout=1)
    (tmp_path / "m" / "go").touch()
    log, _ = server.popen.communicate(timeout=60)

    assert server.popen.returncode == 0
    assert "model m: AVAILABLE" in log


def test_a_signal_cuts_the_load_delay_short(start: Start, config: Callable[..., str]) -> None:
    server = start("--config_path", config(m={}), "--load-delay", "60")
    wait_until(lambda: server.get("/v2/health/live") == 200)

    code, log, seconds = server.end()

    assert code == 0
    assert "AVAILABLE" not in log
    assert seconds < 30


def test_one_of_a_config_s_models_may_fail_and_the_others_serve(
    start: Start, config: Callable[..., str]
) -> None:
    server = start("--config_path", config(bad={"error": "no weights"}, good={}))

    wait_until(lambda: server.get("/v2/health/ready") == 200)

    assert server.get("/v2/models/bad/ready") == 404
    assert server.get("/v2/models/good/ready") == 200
    assert server.api.chat(model="good").status == 200
    assert server.api.chat(model="bad").status == 500


def test_the_one_model_of_a_start_must_load(start: Start, tmp_path: Path) -> None:
    (tmp_path / "fake.json").write_text('{"error": "no weights"}')

    server = start("--model_name", "m", "--model_path", str(tmp_path))
    log, _ = server.popen.communicate(timeout=60)

    assert server.popen.returncode == 1
    assert "model m: no weights" in log


def test_a_config_that_cannot_be_read_ends_it_with_1(start: Start, tmp_path: Path) -> None:
    server = start("--config_path", str(tmp_path / "none.json"))
    log, _ = server.popen.communicate(timeout=60)

    assert server.popen.returncode == 1
    assert "none.json cannot be read" in log


def test_the_log_tells_what_it_is_and_how_many_cpus_it_may_use(
    start: Start, config: Callable[..., str]
) -> None:
    server = start("--config_path", config(m={}))
    wait_until(lambda: server.get("/v2/models/m/ready") == 200)

    _, log, _ = server.end()

    assert "ovms-numa devserver" in log
    assert "not OpenVINO Model Server" in log
    assert "cpu affinity: " in log


def test_a_taken_port_is_waited_for_and_then_given_up() -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        started = time.monotonic()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", taken.getsockname()[1], patience_s=0.5)

        assert 0.4 < time.monotonic() - started < 30


def test_a_port_that_becomes_free_is_taken() -> None:
    first = bind("127.0.0.1", 0)
    first.listen()
    port = first.getsockname()[1]
    threading.Timer(0.3, first.close).start()

    with bind("127.0.0.1", port, patience_s=60) as second:
        assert second.getsockname()[1] == port
