import pytest

from lifecycle.changed_hosts import refuse_changed_hosts
from lifecycle.observe import Observation
from planner.errors import TopologyError
from planner.placement import plan
from planner.settings import Settings
from planner.topology import HostTopology
from tests.planner.worlds import TWO_NODES, make_host, make_settings

CAPTURED = make_host(TWO_NODES)
CHANGED = make_host(TWO_NODES, allowed_cpus="0-5")


def settings_of(**hosts: dict[str, str]) -> Settings:
    return make_settings(hosts=hosts, balancer={"host": next(iter(hosts))})


def compare(settings: Settings, seen: dict[str, HostTopology | None]) -> None:
    topologies = dict.fromkeys(settings.hosts, CAPTURED)
    refuse_changed_hosts(
        plan(settings, topologies),
        settings,
        topologies,
        {name: Observation(topology=live) for name, live in seen.items()},
    )


def test_a_host_that_no_longer_matches_is_refused_with_what_that_means() -> None:
    with pytest.raises(TopologyError) as refused:
        compare(settings_of(box={"topology": "hosts/rack-1.json"}), {"box": CHANGED})

    assert str(refused.value) == (
        "box: it is not as hosts/rack-1.json describes it.\n"
        "  CPUs that Docker may use: captured 0-7, now 0-5\n"
        "  What that means:\n"
        "    box-node1-0 is planned on the CPUs 4-7, of which 6-7 cannot be had\n"
        "  What to do: capture it again with `make capture NAME=rack-1`, then look at the new "
        "plan,\n"
        "    or put the host back as it was."
    )


def test_a_difference_that_takes_nothing_from_the_plan_is_refused_too() -> None:
    """Another plan might use it: more CPUs, another distance."""
    settings = make_settings(
        hosts={"box": {"topology": "hosts/box.json"}}, placement={"exclude-nodes": [1]}
    )

    with pytest.raises(TopologyError) as refused:
        compare(settings, {"box": CHANGED})

    assert "every instance can run where it is planned, but a plan of today may differ" in str(
        refused.value
    )


def test_all_hosts_that_changed_are_named_at_once_with_how_they_are_reached() -> None:
    settings = settings_of(
        a={"topology": "hosts/a.json", "subnet": "172.30.81.0/24"},
        b={"docker": "ssh://me@far", "topology": "hosts/b.json", "address": "10.0.0.7"},
    )

    with pytest.raises(TopologyError) as refused:
        compare(settings, {"a": CHANGED, "b": CHANGED})

    assert len(refused.value.faults) == 2
    assert "`make capture NAME=b HOST=ssh://me@far`" in refused.value.faults[1]


@pytest.mark.parametrize("live", [CAPTURED, None], ids=["as captured", "not asked for"])
def test_a_host_that_matches_or_was_not_compared_is_let_through(live: HostTopology | None) -> None:
    compare(settings_of(box={"topology": "hosts/box.json"}), {"box": live})


def test_a_host_that_was_not_looked_at_is_let_through() -> None:
    compare(settings_of(box={"topology": "hosts/box.json"}), {})
