"""Instances on sockets of several NUMA nodes."""

import pytest

from planner.document import plan_document
from planner.errors import PlacementError
from planner.placement import Plan, plan
from planner.table import render_table
from planner.topology import Core, HostTopology
from tests.planner.worlds import Nodes, make_host, make_settings

CLUSTERS: Nodes = {0: ["0", "1"], 1: ["2", "3"], 2: ["4", "5"], 3: ["6", "7"]}
SOCKETS = [[0, 1], [2, 3]]
TWO_SOCKETS = make_host(CLUSTERS, sockets=SOCKETS)
RULES = {"unit": "socket"}


def plan_of(host: HostTopology, **more: object) -> Plan:
    return plan(make_settings(placement=RULES | more), {"box": host})


def refusal(host: HostTopology, **more: object) -> str:
    with pytest.raises(PlacementError) as refused:
        plan_of(host, **more)
    return str(refused.value)


def test_an_instance_of_a_socket_has_all_cpus_and_memory_of_its_nodes() -> None:
    made = plan_of(TWO_SOCKETS)

    assert [
        (one.name, str(one.nodes), str(one.cpus), str(one.memory_nodes), one.threads, one.weight)
        for one in made.placements
    ] == [
        ("box-socket0-0", "0-1", "0-3", "0-1", 4, 4),
        ("box-socket1-0", "2-3", "4-7", "2-3", 4, 4),
    ]


def test_ports_and_addresses_are_of_the_socket_s_number_and_the_ordinal() -> None:
    made = plan_of(TWO_SOCKETS, **{"instances-per-node": 2})

    assert [(one.name, str(one.cpus), one.port, one.address) for one in made.placements] == [
        ("box-socket0-0", "0-1", 8000, "172.30.80.16"),
        ("box-socket0-1", "2-3", 8002, "172.30.80.18"),
        ("box-socket1-0", "4-5", 8001, "172.30.80.17"),
        ("box-socket1-1", "6-7", 8004, "172.30.80.20"),
    ]


def test_the_plan_says_what_a_socket_of_several_nodes_costs() -> None:
    made = plan_of(TWO_SOCKETS)

    assert (
        "an instance on socket 1 (NUMA nodes 2-3) uses the memory of all of them: an access to "
        "another node's is at distance 12 instead of 10, which is 1 of 2 accesses where pages and "
        "threads are spread evenly (placement.unit is socket)" in made.notes
    )


def test_a_socket_of_one_node_costs_nothing() -> None:
    made = plan_of(make_host({0: ["0"], 1: ["1"]}))

    assert [one.name for one in made.placements] == ["box-socket0-0", "box-socket1-0"]
    assert not any("distance" in note for note in made.notes)


def test_table_and_document_show_the_nodes_of_a_socket() -> None:
    made = plan_of(TWO_SOCKETS)

    assert "box-socket1-0  2-3 (socket 1)  4-7   2-3 " in render_table(
        made, make_settings(placement=RULES)
    )
    assert plan_document(made)[1]["unit"] == "socket"
    assert plan_document(made)[1]["numa_nodes"] == "2-3"


def test_a_node_without_memory_lends_its_cpus_to_its_socket() -> None:
    host = make_host(CLUSTERS, sockets=SOCKETS, without_memory=[1])

    made = plan_of(host)

    assert (str(made.placements[0].cpus), str(made.placements[0].memory_nodes)) == ("0-3", "0")
    assert (
        "NUMA nodes 1 have CPUs and no memory for containers: on socket 0 (NUMA nodes 0-1) they "
        "use that of the other nodes" in made.notes
    )
    assert "socket 0 (NUMA nodes 0-1) of host box: nodes 1 have no memory" in refusal(
        host, policy="restricted"
    )


def test_excluded_nodes_and_nodes_of_memory_alone_are_told_one_by_one() -> None:
    host = make_host({**CLUSTERS, 4: []}, sockets=[*SOCKETS, [4]])

    made = plan_of(host, **{"exclude-nodes": [1, 2, 3]})

    assert [(one.name, str(one.cpus)) for one in made.placements] == [("box-socket0-0", "0-1")]
    assert [(one.title, one.reason) for one in made.unplaced] == [
        ("NUMA node 1", "left out by placement.exclude-nodes"),
        ("NUMA node 2", "left out by placement.exclude-nodes"),
        ("NUMA node 3", "left out by placement.exclude-nodes"),
        ("NUMA node 4", "has no CPUs"),
    ]


def test_a_socket_that_does_not_fit_is_left_out_by_its_name() -> None:
    host = make_host({**CLUSTERS, 4: ["8"]}, sockets=[*SOCKETS, [4]])

    made = plan_of(host, **{"cores-per-instance": 4})

    assert [(one.title, one.reason) for one in made.unplaced] == [
        (
            "socket 2 (NUMA nodes 4)",
            "has 1 usable cores (8), but placement.cores-per-instance is 4",
        )
    ]


@pytest.mark.parametrize(
    ("packages", "why"),
    [((0, 1), "lies in the sockets 0, 1"), ((-1, -1), "lies in a socket that its firmware does")],
    ids=["two sockets", "unknown socket"],
)
def test_a_node_that_is_not_of_one_known_socket_cannot_be_divided_by_sockets(
    packages: tuple[int, int], why: str
) -> None:
    one_node = make_host({0: ["0", "1"]})
    cores = tuple(
        Core(core.cpus, package) for core, package in zip(one_node.cores, packages, strict=True)
    )
    data = {**one_node.to_json(), "packages": [core.package for core in cores]}

    told = refusal(HostTopology.from_json(data))

    assert told.startswith(f"NUMA node 0 of host box {why}")
    assert told.endswith("Write placement.unit: numa-node.")


def test_the_policy_single_numa_node_refuses_instances_on_several_nodes() -> None:
    told = refusal(TWO_SOCKETS, policy="single-numa-node").splitlines()

    assert told[1] == (
        "socket 1 (NUMA nodes 2-3) of host box: an instance on it lies on 2 NUMA nodes, and "
        "placement.policy is single-numa-node. Write unit: numa-node, or policy: restricted."
    )
    one_each = plan_of(make_host({0: ["0"], 1: ["1"]}), policy="single-numa-node")
    assert len(one_each.placements) == 2
