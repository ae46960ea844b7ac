"""What holds of every plan, whatever the host."""

import random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.placement import Plan, plan
from planner.table import render_table
from planner.topology import HostTopology
from tests.planner.worlds import make_host, make_settings, node_maps


@st.composite
def hosts(draw: st.DrawFn) -> HostTopology:
    """Any host, with some nodes without memory and some CPUs that are not allowed."""
    nodes = draw(node_maps())
    online = [cpu for cores in nodes.values() for core in cores for cpu in CpuSet.parse(core)]
    forbidden = draw(st.sets(st.sampled_from(online), max_size=3)) if online else set()
    without = draw(st.sets(st.sampled_from(sorted(nodes)), max_size=1))
    return make_host(
        nodes,
        without_memory=sorted(without),
        allowed_cpus=str(CpuSet.of(online) - CpuSet.of(forbidden)),
    )


rules = st.fixed_dictionaries(
    {
        "instances-per-node": st.integers(1, 3),
        "cores-per-instance": st.none() | st.integers(1, 3),
        "smt": st.sampled_from(["one-per-core", "siblings"]),
        "cpu-sharing": st.sampled_from(["refused", "allowed"]),
    }
)


def plan_or_skip(host: HostTopology, placement: dict[str, Any]) -> Plan:
    try:
        return plan(make_settings(placement=placement), {"box": host})
    except PlacementError:
        assume(False)
        raise


def pinned(made: Plan) -> list[CpuSet]:
    return [one.cpus for one in made.placements if one.cpus is not None]


@given(hosts(), rules)
def test_instances_share_cpus_only_where_sharing_is_allowed(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    sets = pinned(plan_or_skip(host, placement | {"cpu-sharing": "refused"}))

    assert sum(len(cpus) for cpus in sets) == len(CpuSet.of(c for cpus in sets for c in cpus))


@given(hosts(), rules)
def test_an_instance_stays_inside_its_node_and_what_is_allowed(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    made = plan_or_skip(host, placement)
    cpus = {node.id: node.cpus & host.allowed_cpus for node in host.nodes}

    assert all(one.cpus and one.cpus <= cpus[one.number] for one in made.placements)
    assert all(one.memory_nodes == CpuSet.of([one.number]) for one in made.placements)


@given(hosts(), rules)
def test_an_instance_gets_whole_cores_or_one_cpu_of_each(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    for one in plan_or_skip(host, placement).placements:
        assert one.cpus is not None
        its = [core for core in host.cores if core.cpus & one.cpus]
        if placement["smt"] == "siblings":
            assert all(core.cpus <= one.cpus for core in its)
        else:
            assert all(len(core.cpus & one.cpus) == 1 for core in its)
        assert len(its) == one.weight
        assert len(one.cpus) == one.threads


@given(hosts(), rules)
def test_every_node_is_either_placed_or_explained(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    made = plan_or_skip(host, placement)
    nodes = [f"NUMA node {one.number}" for one in made.placements]

    assert {*nodes, *(one.title for one in made.unplaced)} == {
        f"NUMA node {node.id}" for node in host.nodes
    }
    assert not {*nodes} & {one.title for one in made.unplaced}
    assert all(nodes.count(node) == placement["instances-per-node"] for node in nodes)


@given(hosts(), rules)
def test_names_ports_and_addresses_are_unique(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    made = plan_or_skip(host, placement)

    for values in zip(*((o.name, o.port, o.address) for o in made.placements), strict=True):
        assert len(set(values)) == len(values)


@given(hosts(), rules, st.randoms(use_true_random=False))
def test_the_plan_and_its_table_do_not_depend_on_the_order_of_the_topology(
    host: HostTopology, placement: dict[str, Any], shuffler: random.Random
) -> None:
    data = host.to_json()
    together = list(zip(data["cores"], data["packages"], strict=True))
    shuffler.shuffle(together)
    shuffler.shuffle(data["nodes"])
    data["cores"], data["packages"] = (
        map(list, zip(*together, strict=True)) if together else ([], [])
    )
    settings = make_settings(placement=placement)
    made = plan_or_skip(host, placement)

    again = plan(settings, {"box": HostTopology.from_json(data)})

    assert again == made
    assert render_table(again, settings) == render_table(made, settings)


@given(hosts(), rules, st.integers(1, 3))
def test_one_more_instance_moves_no_other(
    host: HostTopology, placement: dict[str, Any], cores: int
) -> None:
    fewer = plan_or_skip(host, placement | {"cores-per-instance": cores})
    more = plan_or_skip(
        host,
        placement
        | {
            "cores-per-instance": cores,
            "instances-per-node": placement["instances-per-node"] + 1,
        },
    )

    # A node that is too small for one more gets none.
    still = {one.number for one in more.placements}
    assert {one for one in fewer.placements if one.number in still} <= set(more.placements)


@given(hosts(), rules)
def test_leaving_a_node_out_moves_no_instance_of_the_others(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    made = plan_or_skip(host, placement)
    gone = made.placements[0].number

    fewer = plan_or_skip(host, placement | {"exclude-nodes": [gone]})

    assert fewer.placements == tuple(one for one in made.placements if one.number != gone)


@given(node_maps(), rules)
def test_a_new_node_neither_renames_nor_moves_the_instances_of_the_others(
    nodes: dict[int, list[str]], placement: dict[str, Any]
) -> None:
    before = plan_or_skip(make_host(nodes), placement)
    new_cores = [str(100 + index) for index in range(9)]

    after = plan_or_skip(make_host({**nodes, 10: new_cores}), placement)

    assert set(before.placements) <= set(after.placements)
