"""A step of an activation fails: the rollout stops, the others serve on, the next `up` goes on."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.load import clients, wait_until
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parents[1] / "data" / "failed_activation"
FIRST, SECOND = INSTANCES
PORT = 18081
CHANGED_FLAG = {"log-level": "WARNING"}


@contextmanager
def model_away(stack: Stack) -> Iterator[None]:
    """Take the model from servers that are started meanwhile: they go on, and are never ready."""
    mount = stack.container(FIRST).attrs["Mounts"]
    volume = next(Path(one["Source"]) for one in mount if one["Destination"] == "/workspace")
    model, elsewhere = volume / MODEL, volume / "elsewhere"
    model.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(model)


def _message(run: Run) -> str:
    """The failed step's message, without the server's log and what differs from run to run."""
    lines = [line.strip() for line in run.output.splitlines()]
    begin = next(n for n, line in enumerate(lines) if re.match(r"local-node0-\d: .+: .+\.$", line))
    end = next(n for n in range(begin, len(lines)) if lines[n].startswith("What to do:"))
    text = "\n".join(lines[begin : end + 1]) + "\n"
    text = re.sub(r"(Its last log lines:\n)(?:.*\n)*?(?=What to do)", r"\1(log)\n", text)
    return re.sub(r"[0-9a-f]{64}", "(id)", text)


def _check(stack: Stack, run: Run, golden: str, endpoint: str) -> None:
    """The message is as agreed, the second instance serves untouched, the first is closed."""
    assert run.status != 0
    assert SECOND not in run.names("delete-replaced", "create-replacement", "create")
    assert stack.container(FIRST).status == "exited" or stack.container(FIRST).status == "created"
    with clients(endpoint, MODEL, count=2) as load:
        wait_until(lambda: sum(load.answers.values()) > 2)
    assert load.failures == []
    assert len(load.answers) == 1
    assert _message(run) == (GOLDEN / f"{golden}.txt").read_text()


def _next_up_goes_on(stack: Stack) -> None:
    run = stack.up()
    assert run.status == 0, run.output
    assert {stack.container(name).status for name in INSTANCES} == {"running"}


def test_a_flag_that_the_server_refuses(stack: Stack, endpoint: str) -> None:
    stack.configure({"server": {"flags": {"no-such-flag": "1"}}})

    run = stack.up()

    _check(stack, run, "flag", endpoint)
    assert "no-such-flag" in run.output
    stack.configure({})
    _next_up_goes_on(stack)


def test_a_model_that_is_gone(stack: Stack, endpoint: str) -> None:
    stack.configure({"server": CHANGED_FLAG, "rollout": {"start-timeout-s": 30}})
    with model_away(stack):
        run = stack.up()
        _check(stack, run, "model", endpoint)
    # With the time to load that it has otherwise.
    stack.configure({"server": CHANGED_FLAG})
    _next_up_goes_on(stack)


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
        _check(stack, run, "address", endpoint)
    finally:
        intruder.remove(force=True)
    _next_up_goes_on(stack)


def test_an_instance_that_is_moved_between_binding_and_proof(stack: Stack, endpoint: str) -> None:
    def move() -> None:
        for event in stack.client.events(decode=True, filters={"event": "start"}):
            if event["Actor"]["Attributes"].get("name") == f"{stack.prefix}-{FIRST}":
                stack.container(FIRST).update(cpuset_cpus="1")
                return

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    stack.configure({"server": CHANGED_FLAG})
    run = stack.up()
    thread.join(timeout=30)

    assert not thread.is_alive()
    _check(stack, run, "moved", endpoint)
    assert "planned 0, found 1" in run.output
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
        assert _lines(refused, "error: local: ") == (GOLDEN / "port.txt").read_text()
    with clients(endpoint, MODEL, count=1) as load:
        wait_until(lambda: sum(load.answers.values()) > 1)
    assert load.failures == []


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
    assert told.replace(words[1], "(Docker's words)") == (GOLDEN / "port_meanwhile.txt").read_text()
    stack.configure({})
    _next_up_goes_on(stack)
    with clients(endpoint, MODEL, count=1) as load:
        wait_until(lambda: sum(load.answers.values()) > 1)
    assert load.failures == []


def _lines(run: Run, begin: str) -> str:
    """The one message below the last headline that begins with *begin*, to its remedy."""
    text = run.output.partition("Diagnostics:\n")[2]
    assert text.count(begin) == 1, run.output
    lines = text[text.index(begin) :].splitlines()
    return "".join(f"{line.strip()}\n" for line in lines[:2])
