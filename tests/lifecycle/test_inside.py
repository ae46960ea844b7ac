"""HTTP by a command inside a container, for real, to a server of this machine."""

import http.client
import json
from pathlib import Path

import pytest

from lifecycle.inside import InsideConnection
from tests.lifecycle.docker_double import Machine, as_container, refusal
from tests.lifecycle.local_server import LocalServer, serve


@pytest.fixture
def machine() -> Machine:
    return Machine(name="one", calls=[], mounts={"/nowhere": Path("/nowhere")})


def ask(machine: Machine, port: int, timeout_s: float = 5) -> http.client.HTTPResponse:
    connection = InsideConnection(as_container(machine), port, timeout_s)
    connection.request("POST", "/v3/completions", json.dumps({"prompt": "it's 5 % \\n ü"}))
    return connection.getresponse()


def test_an_answer_comes_whole_with_its_status(machine: Machine) -> None:
    server = LocalServer(answers={"POST /v3/completions": [(200, '{"choices": ["größer\\n"]}')]})
    with serve(server):
        response = ask(machine, server.port)

    assert (response.status, response.read().decode()) == (200, '{"choices": ["größer\\n"]}')
    assert json.loads(server.bodies[0]) == {"prompt": "it's 5 % \\n ü"}


def test_a_port_that_nobody_listens_on_is_a_failed_connection(machine: Machine) -> None:
    with pytest.raises(ConnectionError, match="refused"):
        ask(machine, 1)


def test_a_silent_server_is_given_up(machine: Machine) -> None:
    server = LocalServer(answers={"POST /v3/completions": [None]})
    with serve(server), pytest.raises(ConnectionError, match="exit status 124"):
        ask(machine, server.port, timeout_s=0.5)


def test_a_container_that_does_not_run_is_a_failed_connection(machine: Machine) -> None:
    machine.refusals["exec"] = refusal("container one is not running", 409)

    with pytest.raises(ConnectionError, match="is not running"):
        ask(machine, 1)
