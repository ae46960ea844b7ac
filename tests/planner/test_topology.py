import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cpuset import CpuSet
from planner.errors import TopologyError
from planner.topology import Core, HostTopology, NumaNode
from tests.planner.worlds import TWO_NODES_SMT, make_host, node_maps

DOCUMENT: dict[str, Any] = {
    "nodes": [
        {"id": 0, "cpus": "0-1,4-5", "memory_bytes": 16 << 30, "distances": [10, 21]},
        {"id": 1, "cpus": "2-3,6-7", "memory_bytes": 16 << 30, "distances": [21, 10]},
    ],
    "cores": ["0,4", "1,5", "2,6", "3,7"],
    "packages": [0, 0, 1, 1],
    "kinds": {},
    "online": "0-7",
    "allowed_cpus": "0-7",
    "allowed_memory_nodes": "0-1",
    "isolated": "",
    "cgroup_version": None,
}


def faults_of(data: object) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as refused:
        HostTopology.from_json(data, "hosts/box.json")
    return refused.value.faults


def test_a_topology_is_written_in_the_documented_form() -> None:
    assert make_host(TWO_NODES_SMT).to_json() == DOCUMENT


@given(node_maps())
def test_what_is_written_is_read_back(nodes: dict[int, list[str]]) -> None:
    host = make_host(nodes)

    assert HostTopology.from_json(json.loads(json.dumps(host.to_json()))) == host


def test_kinds_isolated_cpus_and_the_cgroup_version_are_written_and_read_back() -> None:
    data = DOCUMENT | {
        "kinds": {"performance": "0-1,4-5", "efficiency": "2-3,6-7"},
        "isolated": "3,7",
        "cgroup_version": 2,
    }

    host = HostTopology.from_json(data)

    assert [core.kind for core in host.cores] == ["performance"] * 2 + ["efficiency"] * 2
    assert str(host.cpus_of_kind("efficiency")) == "2-3,6-7"
    assert (str(host.isolated), host.cgroup_version) == ("3,7", 2)
    assert host.to_json() == data


def test_a_file_of_before_kinds_isolated_cpus_and_the_cgroup_version_is_read() -> None:
    new = ("kinds", "isolated", "cgroup_version")

    host = HostTopology.from_json({k: v for k, v in DOCUMENT.items() if k not in new})

    assert host == HostTopology.from_json(DOCUMENT)


@given(node_maps(), st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(nodes: dict[int, list[str]], random: Any) -> None:
    host = make_host(nodes)
    parts, cores = list(host.nodes), list(host.cores)
    random.shuffle(parts)
    random.shuffle(cores)

    again = HostTopology(
        nodes=tuple(parts),
        cores=tuple(cores),
        online=host.online,
        allowed_cpus=host.allowed_cpus,
        allowed_memory_nodes=host.allowed_memory_nodes,
    )

    assert again == host
    assert again.to_json() == host.to_json()


def test_without_limits_all_cpus_and_all_memory_is_allowed() -> None:
    data = {key: value for key, value in DOCUMENT.items() if not key.startswith("allowed")}
    data["nodes"] = [DOCUMENT["nodes"][0], {**DOCUMENT["nodes"][1], "memory_bytes": 0}]

    host = HostTopology.from_json(data)

    assert str(host.allowed_cpus) == "0-7"
    assert str(host.allowed_memory_nodes) == "0"
    assert str(host.memory_nodes) == "0"


def test_every_fault_of_a_file_is_told_with_its_path() -> None:
    data = {
        "nodes": [
            {"id": "0", "cpus": "3-0", "memory_bytes": True, "distances": 10, "mem": 1},
            7,
        ],
        "cores": [0],
        "packages": [-1, -2],
        "online": None,
        "kinds": {"fast": "0", "performance": 0},
        "cgroup_version": 3,
        "captured": "today",
    }

    assert faults_of(data) == (
        "hosts/box.json: nodes[0].mem: unknown key; "
        "the keys are ['cpus', 'distances', 'id', 'memory_bytes']",
        "hosts/box.json: nodes[0].id: '0' is not a whole number of 0 or more; write one",
        "hosts/box.json: nodes[0].cpus: CPU list '3-0': '3-0' runs backwards; write 0-3",
        "hosts/box.json: nodes[0].memory_bytes: True is not a whole number of 0 or more; write one",
        "hosts/box.json: nodes[0].distances: 10 is not a list; write [...]",
        "hosts/box.json: nodes[1]: 7 is not an object; "
        "write one with ['cpus', 'distances', 'id', 'memory_bytes']",
        "hosts/box.json: cores[0]: 0 is not text; write a Linux list such as '0-3,8'",
        "hosts/box.json: packages[1]: -2 is not a whole number of -1 or more; write one",
        "hosts/box.json: packages: there are 2 packages for 1 cores; "
        "write one package for each core, in the same order",
        "hosts/box.json: kinds.fast: unknown key; the keys are ['efficiency', 'performance']",
        "hosts/box.json: kinds.performance: 0 is not text; write a Linux list such as '0-3,8'",
        "hosts/box.json: online: None is not text; write a Linux list such as '0-3,8'",
        "hosts/box.json: cgroup_version: 3 is no version; write 1, 2 or null",
        "hosts/box.json: captured: unknown key; the keys are ['allowed_cpus', "
        "'allowed_memory_nodes', 'cgroup_version', 'cores', 'isolated', 'kinds', 'nodes', "
        "'online', 'packages']",
    )


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_file_that_is_no_object_is_refused(data: object) -> None:
    assert any("(top)" in fault for fault in faults_of(data))


def changed(path: list[str | int], value: object) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
    inner: Any = data
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (["nodes", 1, "id"], 0, "NUMA node 0 is there twice; leave one out"),
        (
            ["nodes", 1, "cpus"],
            "1-3,6-7",
            "CPUs 1 are in NUMA node 1 and in one before it",
        ),
        (["nodes", 0, "cpus"], "0-1,4", "CPUs 5 are online but in no NUMA node"),
        (["nodes", 0, "cpus"], "0-1,4-5,9", "CPUs 9 of NUMA node 0 are not online"),
        (
            ["nodes", 0, "distances"],
            [10],
            "NUMA node 0 has 1 distances, but the host has 2 nodes; there is one distance to each",
        ),
        (["cores", 0], "", "a core has no CPU; a core has one or more"),
        (["cores", 0], "0,4-5", "CPUs 5 are in core 1,5 and in one before it"),
        (["cores", 0], "0,4,9", "CPUs 9 of core 0,4,9 are not online"),
        (["cores", 0], "0", "CPUs 4 are online but in no core"),
        (["cores", 0], "0,2,4", "core 0,2,4 lies in NUMA nodes [0, 1]; a core belongs to one"),
        (
            ["kinds"],
            {"performance": "0"},
            "kinds: the CPUs 0,4 of one core are of 2 kinds; a core is of one",
        ),
        (["kinds"], [], "kinds: [] is not an object; write one with ['efficiency', 'performance']"),
        (["isolated"], "7-8", "CPUs 8 are isolated but not online"),
        (["allowed_cpus"], "0-8", "CPUs 8 are allowed but not online"),
        (
            ["allowed_memory_nodes"],
            "0-2",
            "memory nodes 2 are allowed but the host has no such NUMA node",
        ),
    ],
)
def test_a_contradiction_is_named(path: list[str | int], value: object, fault: str) -> None:
    assert f"hosts/box.json: {fault}" in faults_of(changed(path, value))


def test_a_host_without_numa_nodes_cannot_be_described() -> None:
    with pytest.raises(TopologyError, match="no NUMA node; a kernel with NUMA shows at least"):
        HostTopology(
            nodes=(),
            cores=(),
            online=CpuSet(),
            allowed_cpus=CpuSet(),
            allowed_memory_nodes=CpuSet(),
        )


def test_a_node_of_memory_alone_is_a_node() -> None:
    host = HostTopology(
        nodes=(
            NumaNode(id=0, cpus=CpuSet.of([0]), memory_bytes=1, distances=(10, 14)),
            NumaNode(id=8, cpus=CpuSet(), memory_bytes=1, distances=(14, 10)),
        ),
        cores=(Core(CpuSet.of([0]), 0),),
        online=CpuSet.of([0]),
        allowed_cpus=CpuSet.of([0]),
        allowed_memory_nodes=CpuSet.of([0, 8]),
    )

    assert str(host.memory_nodes) == "0,8"
