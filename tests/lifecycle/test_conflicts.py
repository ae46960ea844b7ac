"""What stands on the hosts is compared with all that a plan takes there."""

import pytest

from lifecycle.conflicts import refuse_conflicts
from lifecycle.errors import LifecycleError
from lifecycle.observe import Observation
from planner.placement import plan
from tests.planner.worlds import ONE_NODE, make_host, make_settings

FAR = {"docker": "ssh://ops@far", "topology": "hosts/far.json", "address": "10.0.0.2"}
SETTINGS = make_settings(hosts={"near": {}, "far": FAR}, balancer={"host": "near", "port": 9000})
PLAN = plan(SETTINGS, {"near": make_host(ONE_NODE), "far": make_host(ONE_NODE)})


def look(host: str, *listening: tuple[str, int], own: bool = False) -> None:
    ports = frozenset(listening)
    seen = Observation(listening=ports, published=ports if own else frozenset())
    refuse_conflicts(PLAN, SETTINGS, {"near": Observation(), "far": Observation(), host: seen})


def refusal(host: str, *listening: tuple[str, int]) -> str:
    with pytest.raises(LifecycleError) as refused:
        look(host, *listening)
    return str(refused.value)


def test_the_balancers_port_that_another_program_has_is_refused() -> None:
    assert "another program has port 9000 of 127.0.0.1, where the balancer is to be" in refusal(
        "near", ("127.0.0.1", 9000)
    )


def test_an_instances_port_on_another_host_is_refused_with_its_setting() -> None:
    assert refusal("far", ("10.0.0.2", 8000)) == (
        "far: looking at the host: another program has port 8000 of 10.0.0.2, where far-node0-0 is "
        "to be reached.\n"
        "  What to do: stop that program (`ss -ltnp` names it), or set another `server.rest-port`; "
        "then run this again."
    )


def test_what_is_not_published_or_is_the_stacks_own_is_not_taken() -> None:
    """Beside the balancer an instance is reached at an address of its own."""
    look("near", ("0.0.0.0", 8000))  # noqa: S104
    look("far", ("10.0.0.2", 9000), ("127.0.0.1", 8000))
    look("far", ("10.0.0.2", 8000), own=True)
