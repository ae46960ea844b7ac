"""One stack for all tests of this folder, brought up once and removed at the end."""

import signal
from collections.abc import Iterator

import pytest

from tests.engine.operator import Operator
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES

# In the background of a script (`make test &`, nohup) a shell ignores this signal, and what is
# started there inherits that. Pulumi ends its language host by it, and waits for 5 s in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)

SETTINGS = {
    "hosts": {"local": {"subnet": "172.30.96.0/24"}},
    "placement": {
        "instances-per-node": 2,
        "cores-per-instance": 1,
        # Beside a dev stack on the same CPUs.
        "cpu-sharing": "allowed",
    },
    # Of the time that each drain begins with.
    "balancer": {"port": 18080, "keepalive-min-timeout-s": 1},
    "rollout": {"start-timeout-s": 120, "drain-timeout-s": 120, "stop-timeout-s": 5},
}


@pytest.fixture(scope="session")
def created(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Run]]:
    """The stack, and the run that made it from nothing."""
    stack = Stack(name="test", folder=tmp_path_factory.mktemp("stack"), settings=SETTINGS)
    stack.clear()
    run = stack.up()
    try:
        assert run.status == 0, run.output
        yield stack, run
    finally:
        stack.configure({})
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


@pytest.fixture
def stack(created: tuple[Stack, Run]) -> Iterator[Stack]:
    """The stack as it was made; what a test changes is changed back after it."""
    stack, _ = created
    stack.as_made = False
    yield stack
    if not stack.as_made:
        # Both instances at once, which is quicker; the setting itself touches no resource.
        stack.configure({"rollout": {"max-unavailable": 2}})
        run = stack.up()
        stack.configure({})
        assert run.status == 0, run.output


@pytest.fixture
def endpoint(created: tuple[Stack, Run]) -> str:
    stack, _ = created
    return str(stack.outputs()["endpoint"])


@pytest.fixture
def onlooker(created: tuple[Stack, Run]) -> Operator:
    """Looks only, so that nothing has to be changed back."""
    stack, _ = created
    return Operator(stack)


@pytest.fixture
def operator(stack: Stack) -> Iterator[Operator]:
    operator = Operator(stack)
    yield operator
    for name in INSTANCES:
        operator("uncordon", "--instance", name)
