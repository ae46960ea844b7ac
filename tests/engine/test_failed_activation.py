"""A step of an activation fails: the rollout stops, the others serve on, the next `up` goes on."""

import re
import socket
import threading

import pytest

from tests.engine.failed_run import golden, message
from tests.engine.operator import asked
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES

pytestmark = pytest.mark.engine

FIRST, SECOND = INSTANCES
PORT = 18081
CHANGED_FLAG = {"log-level": "WARNING"}


def _next_up_goes_on(stack: Stack) -> None:
    run = stack.up()
    assert run.status == 0, run.output
    assert {stack.container(name).status for name in INSTANCES} == {"running"}


def test_an_address_that_is_taken(stack: Stack, endpoint: str) -> None:
    """By a container that a person starts while the instance is being replaced."""
    address = stack.outputs()["plan"][0]["address"]
    image = stack.container(FIRST).attrs["Config"]["Image"]
    intruder = stack.client.containers.create(image, ["600"], entrypoint="sleep")
    taken = threading.Event()

    def take() -> None:
        for event in stack.client.events(decode=True, filters={"event": "destroy"}):
            if event["Actor"]["Attributes"].get("name") == f"{stack.prefix}-{FIRST}":
                network = stack.client.networks.get(f"{stack.prefix}-instances")
                network.connect(intruder, ipv4_address=address)
                intruder.start()
                taken.set()
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        stack.configure({"server": CHANGED_FLAG})
        run = stack.up()
        thread.join(timeout=30)
        assert taken.is_set()
        state = stack.container(FIRST).status
        load = asked(endpoint, count=3)
    finally:
        intruder.remove(force=True)
    assert run.status != 0
    assert SECOND not in run.names("delete-replaced", "create-replacement", "create")
    assert state in ("created", "exited")
    assert (load.failures, len(load.answers)) == ([], 1)
    assert message(run) == golden("address")
    _next_up_goes_on(stack)


def test_a_port_that_another_program_has(stack: Stack, endpoint: str) -> None:
    """Refused before the balancer that serves is touched."""
    with socket.create_server(("127.0.0.1", PORT)):
        stack.configure({"balancer": {"port": PORT}})
        preview = stack.preview()
        run = stack.up()

    for refused in (preview, run):
        assert refused.status != 0
        assert refused.changed() == []
        assert _lines(refused, "error: local: ") == golden("port")
    assert asked(endpoint, count=2).failures == []


def test_a_port_that_another_program_takes_meanwhile(stack: Stack, endpoint: str) -> None:
    """Between the look at the host and the start of the balancer."""
    others: list[socket.socket] = []

    def take() -> None:
        for event in stack.client.events(decode=True, filters={"event": "destroy"}):
            if event["Actor"]["Attributes"].get("name") == f"{stack.prefix}-balancer":
                others.append(socket.create_server(("127.0.0.1", PORT)))
                return

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    stack.configure({"balancer": {"port": PORT}})
    run = stack.up()
    thread.join(timeout=30)
    (other,) = others
    other.close()

    assert run.status != 0
    told = _lines(run, f"{stack.prefix}-balancer: starting")
    # How Docker says it differs between its versions.
    words = re.search(r"starting the balancer: (.*address already in use)\.", told)
    assert words is not None, told
    assert told.replace(words[1], "(Docker's words)") == golden("port_meanwhile")
    stack.configure({})
    _next_up_goes_on(stack)
    assert asked(endpoint, count=2).failures == []


def _lines(run: Run, begin: str) -> str:
    """The one message below the last headline that begins with *begin*, to its remedy."""
    text = run.output.partition("Diagnostics:\n")[2]
    assert text.count(begin) == 1, run.output
    lines = text[text.index(begin) :].splitlines()
    return "".join(f"{line.strip()}\n" for line in lines[:2])
