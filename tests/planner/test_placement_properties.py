"""What holds of every plan, whatever the host."""

import random
from typing import Any

import pytest
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
    """Any host: a node without memory, CPUs not allowed or isolated, one or two sockets."""
    nodes = draw(node_maps())
    online = [cpu for cores in nodes.values() for core in cores for cpu in CpuSet.parse(core)]
    some = st.sets(st.sampled_from(online), max_size=3) if online else st.just(set[int]())
    without = draw(st.sets(st.sampled_from(sorted(nodes)), max_size=1))
    ids = draw(st.permutations(sorted(nodes)))
    split = draw(st.integers(1, len(ids)))
    return make_host(
        nodes,
        without_memory=sorted(without),
        allowed_cpus=str(CpuSet.of(online) - CpuSet.of(draw(some))),
        isolated=str(CpuSet.of(draw(some))),
        sockets=[ids[:split], ids[split:]],
    )


rules = st.fixed_dictionaries(
    {
        "instances-per-node": st.integers(1, 3),
        "cores-per-instance": st.none() | st.integers(1, 3),
        "smt": st.sampled_from(["one-per-core", "siblings"]),
        "cpu-sharing": st.sampled_from(["refused", "allowed"]),
        "unit": st.sampled_from(["numa-node", "socket"]),
        "isolated-cpus": st.sampled_from(["avoid", "use"]),
    }
)
reserved = st.integers(0, 4)


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


@given(hosts(), rules, reserved)
def test_an_instance_stays_inside_its_unit_and_what_is_allowed(
    host: HostTopology, placement: dict[str, Any], count: int
) -> None:
    made = plan_or_skip(host, placement | {"reserved-cores": count})
    nodes = {node.id: node for node in host.nodes}
    usable = host.allowed_cpus - made.balancer_cpus
    if placement["isolated-cpus"] == "avoid":
        usable -= host.isolated

    for one in made.placements:
        cpus = CpuSet.of(cpu for node in one.nodes for cpu in nodes[node].cpus)
        assert one.cpus
        assert one.cpus <= cpus & usable
        assert one.memory_nodes
        assert one.memory_nodes <= one.nodes & host.allowed_memory_nodes
        assert all(nodes[node].memory_bytes for node in one.memory_nodes)


@given(hosts(), rules, reserved)
def test_reserved_cores_are_as_many_as_asked_and_spread_as_evenly_as_can_be(
    host: HostTopology, placement: dict[str, Any], count: int
) -> None:
    made = plan_or_skip(host, placement | {"reserved-cores": count})
    cores = [core for core in host.cores if core.cpus & made.balancer_cpus]
    ordinary = host.allowed_cpus - host.isolated
    taken, left = {}, {}
    for node in host.nodes:
        if node.memory_bytes:
            taken[node.id] = sum(core.cpus <= node.cpus for core in cores)
            left[node.id] = sum(
                core.cpus <= (node.cpus & ordinary) - made.balancer_cpus for core in host.cores
            )

    assert len(cores) == sum(taken.values()) == count
    assert all(core.cpus <= made.balancer_cpus & ordinary for core in cores)
    assert all(taken[one] >= taken[other] - 1 for one in taken for other in taken if left[one])


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
    placed = CpuSet.of(node for one in made.placements for node in one.nodes)
    units = {(one.unit, one.number) for one in made.placements}
    told = " ".join(f"{one.title} " for one in made.unplaced)

    for node in host.nodes:
        package = {core.package for core in host.cores if core.cpus <= node.cpus}
        alone = f"NUMA node {node.id} " in told
        shared = any(f"socket {number} " in told for number in package)
        assert (node.id in placed) + alone + shared == 1
    assert len(made.placements) == len(units) * placement["instances-per-node"]


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

    # A unit that is too small for one more gets none.
    still = {one.number for one in more.placements}
    assert {one for one in fewer.placements if one.number in still} <= set(more.placements)


@given(hosts(), rules, st.sampled_from(["restricted", "single-numa-node"]))
def test_a_strict_policy_refuses_or_changes_nothing(
    host: HostTopology, placement: dict[str, Any], policy: str
) -> None:
    made = plan_or_skip(host, placement)
    try:
        strict = plan(make_settings(placement=placement | {"policy": policy}), {"box": host})
    except PlacementError:
        spanning = any(len(one.nodes) > 1 for one in made.placements)
        assert made.unplaced or spanning
        return

    assert strict == made
    assert not made.unplaced


@given(hosts(), rules)
def test_leaving_a_unit_out_moves_no_instance_of_the_others(
    host: HostTopology, placement: dict[str, Any]
) -> None:
    made = plan_or_skip(host, placement)
    gone = made.placements[0]
    without = make_settings(placement=placement | {"exclude-nodes": list(gone.nodes)})
    others = tuple(one for one in made.placements if one.number != gone.number)

    if others:
        assert plan(without, {"box": host}).placements == others
    else:
        with pytest.raises(PlacementError):
            plan(without, {"box": host})


@given(node_maps(), rules)
def test_a_new_node_neither_renames_nor_moves_the_instances_of_the_others(
    nodes: dict[int, list[str]], placement: dict[str, Any]
) -> None:
    """Nor does a new socket."""
    before = plan_or_skip(make_host(nodes), placement)
    new_cores = [str(100 + index) for index in range(9)]

    after = plan_or_skip(make_host({**nodes, 10: new_cores}), placement)

    assert set(before.placements) <= set(after.placements)


@given(hosts(), hosts(), rules, reserved)
def test_a_new_host_neither_renames_nor_moves_the_instances_of_the_others(
    host: HostTopology, other: HostTopology, placement: dict[str, Any], count: int
) -> None:
    placement = placement | {"reserved-cores": count}
    before = plan_or_skip(host, placement)
    far = {"docker": "ssh://ops@a", "topology": "hosts/a.json", "address": "10.0.0.2"}

    # Before the first in order of name.
    both = make_settings(hosts={"a": far, "box": {}}, placement=placement, balancer={"host": "box"})
    try:
        after = plan(both, {"box": host, "a": other})
    except PlacementError:
        assume(False)
        raise

    assert tuple(one for one in after.placements if one.host == "box") == before.placements
    assert after.balancer_cpus == before.balancer_cpus
