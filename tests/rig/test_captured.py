"""The probe reads every topology of the rig as the guest's own tools do."""

import pytest

from lifecycle.probe import read_topology, topology_of
from planner.cpuset import CpuSet
from planner.topology import HostTopology, differences
from tests.lifecycle import topology_table
from tests.rig import tree
from tests.rig.topologies import TOPOLOGIES

_MIB = 1 << 20
_ROUNDED_MIB = 64

each_topology = pytest.mark.parametrize("name", TOPOLOGIES)


def _probed(name: str) -> HostTopology:
    return topology_of(tree.read(name).files)


@each_topology
def test_nodes_have_the_cpus_that_numactl_lists(name: str) -> None:
    nodes = {node.id: list(node.cpus) for node in _probed(name).nodes}

    assert nodes == tree.read(name).nodes("cpus")


@each_topology
def test_nodes_have_the_memory_that_numactl_shows_rounded_down(name: str) -> None:
    shown = tree.read(name).nodes("size")
    assert shown

    for node in _probed(name).nodes:
        (size,) = shown[node.id]
        assert size - _ROUNDED_MIB <= node.memory_bytes / _MIB <= size


@each_topology
def test_distances_are_those_that_numactl_prints(name: str) -> None:
    told = [node.distances for node in _probed(name).nodes]

    assert told == tree.read(name).distances()


@each_topology
def test_cores_and_sockets_are_those_that_lscpu_counts(name: str) -> None:
    cores: dict[int, set[int]] = {}
    sockets: dict[int, int] = {}
    for cpu, core, socket, _ in tree.read(name).processors():
        cores.setdefault(core, set()).add(cpu)
        sockets[core] = socket

    told = {(core.cpus, core.package) for core in _probed(name).cores}
    assert told == {(CpuSet.of(cpus), sockets[core]) for core, cpus in cores.items()}


@each_topology
def test_online_cpus_are_those_that_lscpu_lists(name: str) -> None:
    topology = _probed(name)

    assert list(topology.online) == [cpu for cpu, *_ in tree.read(name).processors()]
    assert topology.allowed_cpus == topology.online
    assert list(topology.allowed_memory_nodes) == [
        node.id for node in topology.nodes if node.memory_bytes
    ]


def test_the_page_of_topologies_has_what_is_told_of_the_rig_s() -> None:
    """Each is told in full, and none has a difference."""
    rows = list(topology_table.rig_rows())

    assert "\n".join(rows) in topology_table.DOCUMENT.read_text()
    assert len(rows) == len(TOPOLOGIES)
    assert all(row.endswith("| equal |") for row in rows)


@pytest.mark.parametrize(("name", "file"), tree.HOSTS.items())
def test_the_file_that_stacks_name_is_of_the_captured_machine(name: str, file: str) -> None:
    assert differences(read_topology(f"hosts/{file}.json"), _probed(name)) == ()


def test_each_topology_is_what_its_name_says() -> None:
    nodes = {name: _probed(name).nodes for name in TOPOLOGIES}

    assert [len(nodes[name]) for name in ("2-nodes", "snc-4-nodes")] == [2, 4]
    assert nodes["snc-4-nodes"][0].distances == (10, 12, 21, 21)
    assert [len(core.cpus) for core in _probed("smt").cores] == [2] * 4
    assert [len(node.cpus) for node in nodes["uneven"]] == [3, 5]
    assert list(nodes["interleaved"][0].cpus) == [0, 2, 4, 6]
    assert nodes["memoryless-node"][1].memory_bytes == 0
    assert not nodes["cpuless-node"][1].cpus
    assert str(_probed("offline-cpu").online) == "0-4,6-7"
