"""The whole process with --faults: it goes wrong in the way that was asked for, and only then."""

import http.client
import resource
import signal
import socket
from collections.abc import Callable

import pytest

from images.devserver.devserver.faults import DEADLY
from tests.images.devserver.conftest import question, wait_until
from tests.images.devserver.test_process import Process, Start, config, start

__all__ = ["config", "start"]

READY = "/v2/models/m/ready"
DEADLY_CHAT = {"messages": [{"role": "user", "content": f"Hi {DEADLY}"}]}
ENDLESS = {"stream": True, "ignore_eos": True, "max_tokens": 90_000}


@pytest.fixture
def faulty(start: Start, config: Callable[..., str]) -> Process:
    """A server that serves, with --faults."""
    server = start("--config_path", config(m={}), "--faults")
    wait_until(lambda: server.get(READY) == 200)
    return server


def test_a_server_without_the_flag_has_no_faults(start: Start, config: Callable[..., str]) -> None:
    server = start("--config_path", config(m={}))
    wait_until(lambda: server.get(READY) == 200)

    assert server.api.call("POST", "/faults/reset").status == 400
    assert server.api.chat(**DEADLY_CHAT).status == 200
    assert server.get(READY) == 200


def test_until_it_is_asked_to_go_wrong_it_serves_and_says_what_it_is(faulty: Process) -> None:
    assert faulty.api.chat().status == 200
    assert faulty.api.chat(stream=True).status == 200
    _, log, _ = faulty.end()
    assert "it goes wrong where it is asked to (--faults)" in log


def test_a_fault_that_it_does_not_have_is_refused(faulty: Process) -> None:
    assert faulty.api.call("POST", "/faults/nonsense").status == 404
    assert faulty.api.call("POST", "/faults/unavailable?seconds=soon").status == 400
    assert faulty.get("/faults/reset") == 400
    assert faulty.get(READY) == 200


def test_a_deadly_prompt_kills_the_process_as_a_crash_does(faulty: Process) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        faulty.api.chat(**DEADLY_CHAT)

    assert faulty.popen.wait(timeout=30) == -signal.SIGKILL


def test_a_deadly_plain_prompt_kills_it_too(faulty: Process) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        faulty.api.call("POST", "/v3/completions", {"model": "m", "prompt": DEADLY})

    assert faulty.popen.wait(timeout=30) == -signal.SIGKILL


def test_a_server_that_resets_ends_what_it_has_and_what_comes(faulty: Process) -> None:
    stream = faulty.api.connect()
    faulty.api.send(stream, "POST", "/v3/chat/completions", question(**ENDLESS))
    response = stream.getresponse()
    assert response.read(10)

    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        faulty.api.call("POST", "/faults/reset")

    with pytest.raises(ConnectionResetError):
        response.read()
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            _listen(faulty.api.port)
    assert faulty.popen.poll() is None
    stream.close()


def test_an_unavailable_server_answers_503_for_so_long(faulty: Process) -> None:
    assert faulty.api.call("POST", "/faults/unavailable?seconds=1.5").status == 202

    assert faulty.get(READY) == 503
    assert faulty.api.chat().status == 503
    wait_until(lambda: faulty.get(READY) == 200)
    assert faulty.api.chat().status == 200


def test_a_server_takes_memory_until_there_is_none(faulty: Process) -> None:
    """The limit of a container would kill it; that of this test makes the allocation fail."""
    resource.prlimit(faulty.popen.pid, resource.RLIMIT_AS, (2 << 30, 2 << 30))

    assert faulty.api.call("POST", "/faults/memory").status == 202

    assert faulty.popen.stdout is not None
    assert any("MemoryError" in line for line in faulty.popen.stdout)


def _listen(port: int) -> None:
    """Connect, and wait for a byte; what is reset at once may fail in either."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.recv(1)
