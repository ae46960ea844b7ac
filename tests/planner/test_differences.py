import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cpuset import CpuSet
from planner.topology import HostTopology, NumaNode, differences, parse_sysfs
from tests.planner.worlds import GIB, TWO_NODES, TWO_NODES_SMT, make_host, node_maps, sysfs_of

MIB = 1 << 20
HOST = make_host(TWO_NODES)
SMT = make_host(TWO_NODES_SMT)


def with_memory(host: HostTopology, *sizes: int) -> HostTopology:
    """The host with other memory sizes, in order of node."""
    pairs = zip(host.nodes, sizes, strict=True)
    nodes = tuple(replace(node, memory_bytes=size) for node, size in pairs)
    allowed = CpuSet.of(node.id for node in nodes if node.memory_bytes)
    return replace(host, nodes=nodes, allowed_memory_nodes=allowed)


@given(node_maps())
def test_a_host_does_not_differ_from_itself(nodes: dict[int, list[str]]) -> None:
    assert differences(make_host(nodes), make_host(nodes)) == ()


@given(node_maps(), node_maps(), st.sampled_from([16 * GIB, 16 * GIB + 100 * MIB]))
def test_hosts_without_a_difference_are_equal_but_for_some_memory(
    one: dict[int, list[str]], other: dict[int, list[str]], size: int
) -> None:
    first, second = make_host(one), make_host(other)
    second = with_memory(second, *(size for _ in second.nodes))

    if not differences(first, second):
        assert first == with_memory(second, *(16 * GIB for _ in second.nodes))


def test_a_cpu_that_went_offline_is_said_once() -> None:
    """It is gone from its NUMA node, its core and what Docker may use as well."""
    files = sysfs_of(TWO_NODES_SMT) | {"sys/devices/system/cpu/online": "0-4,6-7\n"}

    assert differences(SMT, parse_sysfs(files)) == ("CPUs online: captured 0-7, now 0-4,6-7",)


def test_sub_numa_clusters_that_were_switched_on_are_seen() -> None:
    clusters = make_host({0: ["0", "1"], 1: ["2", "3"], 2: ["4", "5"], 3: ["6", "7"]})
    clusters = replace(clusters, cores=HOST.cores)

    assert differences(with_memory(HOST, 32 * GIB, 32 * GIB), clusters) == (
        "NUMA nodes: captured 0-1, now 0-3",
        "CPUs of NUMA node 0: captured 0-3, now 0-1",
        "memory of NUMA node 0: captured 32.00 GiB, now 16.00 GiB",
        "CPUs of NUMA node 1: captured 4-7, now 2-3",
        "memory of NUMA node 1: captured 32.00 GiB, now 16.00 GiB",
    )


def test_a_node_that_is_gone_is_said_once() -> None:
    assert differences(HOST, make_host({0: TWO_NODES[0]})) == (
        "NUMA nodes: captured 0-1, now 0",
        "CPUs online: captured 0-7, now 0-3",
    )


def test_cpus_that_changed_their_node_are_seen() -> None:
    uneven = {0: ["0", "1", "2"], 1: ["3", "4", "5", "6", "7"]}
    live = replace(make_host(uneven), cores=HOST.cores)

    assert differences(HOST, live) == (
        "CPUs of NUMA node 0: captured 0-3, now 0-2",
        "CPUs of NUMA node 1: captured 4-7, now 3-7",
    )


def test_hyper_threading_that_pairs_other_cpus_is_seen() -> None:
    live = make_host({0: ["0-1", "4-5"], 1: ["2,6", "3,7"]})

    assert differences(SMT, live) == (
        "cores: captured CPUs 0,4 as one, now 0-1; CPUs that are in another core: 0-1,4-5",
    )


def test_a_core_in_another_socket_is_seen() -> None:
    live = replace(HOST, cores=tuple(replace(core, package=0) for core in HOST.cores))

    assert differences(HOST, live) == (
        "sockets: captured CPU 4 in 1, now in 0; CPUs that are in another socket: 4-7",
    )


def test_distances_are_compared() -> None:
    near = NumaNode(id=0, cpus=HOST.nodes[0].cpus, memory_bytes=16 * GIB, distances=(10, 12))
    live = replace(HOST, nodes=(near, HOST.nodes[1]))

    assert differences(HOST, live) == ("distances from NUMA node 0: captured 10 21, now 10 12",)


@pytest.mark.parametrize(
    ("captured", "live", "seen"),
    [
        (256 * GIB, 251 * GIB, False),
        (256 * GIB, 261 * GIB, False),
        (256 * GIB, 245 * GIB, True),
        (256 * GIB, 267 * GIB, True),
        (GIB, GIB - 128 * MIB, False),
        (GIB, GIB - 192 * MIB, True),
        (64 * MIB, 0, True),
        (0, 64 * MIB, True),
        (0, 0, False),
    ],
    ids=lambda value: str(value if isinstance(value, bool) else value // MIB),
)
def test_memory_is_compared_as_exactly_as_kernels_repeat_it(
    captured: int, live: int, seen: bool
) -> None:
    """1 of 24 memory modules of a node with 256 GiB is 11 GiB."""
    found = differences(with_memory(HOST, GIB, captured), with_memory(HOST, GIB, live))

    assert bool(found) == seen
    assert all(phrase.startswith("memory of NUMA node 1: captured ") for phrase in found)


def test_memory_that_is_gone_is_called_none() -> None:
    assert differences(HOST, make_host(TWO_NODES, without_memory=[1])) == (
        "memory of NUMA node 1: captured 16.00 GiB, now none",
    )


def test_what_docker_may_use_is_compared() -> None:
    live = make_host(TWO_NODES, allowed_cpus="0-1", allowed_memory_nodes="")

    assert differences(HOST, live) == (
        "CPUs that Docker may use: captured 0-7, now 0-1",
        "memory nodes that Docker may use: captured 0-1, now none",
    )


def test_isolated_cpus_are_compared() -> None:
    live = replace(HOST, isolated=CpuSet.of([2, 3]))

    assert differences(HOST, live) == ("isolated CPUs: captured none, now 2-3",)


def test_what_no_plan_follows_is_not_compared() -> None:
    """The version of the control groups changes with the distribution, not with the host."""
    live = replace(HOST, cgroup_version=2)

    assert differences(replace(HOST, cgroup_version=1), live) == ()


def test_differences_survive_the_file_that_keeps_the_capture() -> None:
    kept = HostTopology.from_json(json.loads(json.dumps(SMT.to_json())))

    assert differences(kept, SMT) == ()
