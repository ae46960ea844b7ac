"""One stack on more than one host."""

import pytest

from planner.claims import Claim, check_addresses, check_claims
from planner.cpuset import CpuSet
from planner.document import plan_document
from planner.errors import PlacementError
from planner.placement import Plan, plan
from planner.rollout import plan_rollout
from planner.settings import Settings, parse_settings
from planner.table import render_table
from tests.planner.worlds import ONE_NODE, TWO_NODES, make_host

HOSTS = {
    "near": {},
    "far": {
        "docker": "ssh://ops@far",
        "topology": "hosts/far.json",
        "address": "10.0.0.7",
        "subnet": "172.30.99.0/24",
    },
}


def two_hosts(*, reserved: str = "") -> tuple[Settings, Plan]:
    data = {
        "hosts": HOSTS,
        "balancer": {"host": "near", "cpus": reserved},
        "placement": {"cores-per-instance": 1},
    }
    settings = parse_settings(data, "test")
    return settings, plan(settings, {"near": make_host(TWO_NODES), "far": make_host(ONE_NODE)})


def test_the_balancer_reaches_instances_of_other_hosts_at_the_host_s_own_address() -> None:
    _, made = two_hosts()

    assert {one.name: (one.address, one.published) for one in made.placements} == {
        "far-node0-0": ("172.30.99.16", "10.0.0.7"),
        "near-node0-0": ("172.30.80.16", None),
        "near-node1-0": ("172.30.80.17", None),
    }
    assert [line["address"] for line in plan_document(made)] == [
        "10.0.0.7",
        "172.30.80.16",
        "172.30.80.17",
    ]


def test_the_plan_says_which_ports_other_machines_reach() -> None:
    settings, made = two_hosts()

    assert (
        "far-node0-0   0          0     0            1792 MiB      1        10.0.0.7:8000"
        in render_table(made, settings)
    )
    assert made.notes[-1] == (
        "instances of other hosts than near publish their ports, which have neither TLS nor a "
        "key, on 10.0.0.7 (far): let that network reach no client"
    )


def test_one_host_more_moves_and_renames_nothing() -> None:
    _, both = two_hosts()
    alone = parse_settings({"hosts": {"near": {}}, "placement": {"cores-per-instance": 1}}, "test")

    assert plan(alone, {"near": make_host(TWO_NODES)}).placements == both.placements[1:]


def test_the_balancer_s_cpus_are_those_of_its_own_host() -> None:
    """The other one has CPUs 0-1 only."""
    _, made = two_hosts(reserved="7")

    assert not any("balancer" in note and "far" in note for note in made.notes[:-1])


def test_a_port_that_another_stack_publishes_on_another_host_is_refused() -> None:
    settings, made = two_hosts()
    theirs = Claim(
        host="far",
        project="ovms-numa",
        stack="other",
        cpus=CpuSet(),
        # The balancer's own port is taken, but not on the balancer's host.
        ports=frozenset({("0.0.0.0", 8000), ("127.0.0.1", 8000)}),  # noqa: S104
    )

    with pytest.raises(PlacementError) as refused:
        check_claims(made, settings, [theirs])

    assert refused.value.faults == (
        "server.rest-port: 8000 on 10.0.0.7 of host far is published by the stack ovms-numa/other "
        "on 0.0.0.0. Write another port, or take that stack down.",
    )


def test_an_address_that_an_instance_of_another_name_still_has_is_refused() -> None:
    _, made = two_hosts()
    own = {"172.30.80.16": "near-node0-0", "172.30.80.17": "near-node1-0"}

    check_addresses(made, "near", own)
    with pytest.raises(PlacementError) as refused:
        check_addresses(made, "near", {**own, "172.30.80.17": "old-node1-0"})

    assert refused.value.faults == (
        "near-node1-0 gets the address 172.30.80.17 of old-node1-0, which has it until the end of "
        "the update. Run `make down` first, or give the host's instances another network "
        "(hosts.near.subnet).",
    )


def test_instances_of_a_host_that_nobody_looked_at_are_updated_last() -> None:
    _, made = two_hosts()

    rollout = plan_rollout(made, {"near": frozenset({"near-node0-0"})}, 1)

    assert rollout.order == ("near-node1-0", "near-node0-0", "far-node0-0")
    assert rollout.waits_for == {
        "near-node0-0": "near-node1-0",
        "far-node0-0": "near-node0-0",
    }


def test_instances_that_may_be_serving_are_replaced_one_by_one() -> None:
    """Of hosts that nobody looked at, this is not known."""
    _, made = two_hosts()

    assert len(plan_rollout(made, {}, 1).waits_for) == 2
    assert plan_rollout(made, dict.fromkeys(HOSTS, frozenset[str]()), 1).waits_for == {}
