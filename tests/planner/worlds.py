"""Small literal worlds: hosts as values and as the sysfs text that a kernel would show."""

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from planner.cpuset import CpuSet
from planner.settings import Settings, parse_settings
from planner.topology import Core, HostTopology, NumaNode

GIB = 1 << 30

# The cores of each NUMA node, as Linux lists of their CPUs.
Nodes = Mapping[int, Sequence[str]]

ONE_NODE: Nodes = {0: ["0", "1"]}
TWO_NODES: Nodes = {0: ["0", "1", "2", "3"], 1: ["4", "5", "6", "7"]}
TWO_NODES_SMT: Nodes = {0: ["0,4", "1,5"], 1: ["2,6", "3,7"]}


def make_host(
    nodes: Nodes,
    *,
    without_memory: Sequence[int] = (),
    allowed_cpus: str | None = None,
    allowed_memory_nodes: str | None = None,
    sockets: Sequence[Sequence[int]] = (),
    isolated: str = "",
    efficient: str = "",
) -> HostTopology:
    """
    A host; each node with 16 GiB and a socket of its own, unless *sockets* lists theirs.

    Cores with a CPU of *efficient* are of that kind, and then all others are fast.
    """
    packages = {node: number for number, its in enumerate(sockets) for node in its} or {
        node: number for number, node in enumerate(sorted(nodes))
    }
    slow = CpuSet.parse(efficient)
    cpus = {node: CpuSet.parse(",".join(cores)) for node, cores in nodes.items()}
    online = CpuSet.of(cpu for its in cpus.values() for cpu in its)
    with_memory = CpuSet.of(node for node in nodes if node not in without_memory)
    return HostTopology(
        nodes=tuple(
            NumaNode(
                id=node,
                cpus=cpus[node],
                memory_bytes=16 * GIB if node in with_memory else 0,
                distances=tuple(
                    10 if node == other else 12 if packages[node] == packages[other] else 21
                    for other in sorted(nodes)
                ),
            )
            for node in nodes
        ),
        cores=tuple(
            Core(CpuSet.parse(core), packages[node], _kind(CpuSet.parse(core), slow))
            for node in sorted(nodes)
            for core in nodes[node]
        ),
        online=online,
        allowed_cpus=online if allowed_cpus is None else CpuSet.parse(allowed_cpus),
        allowed_memory_nodes=with_memory
        if allowed_memory_nodes is None
        else CpuSet.parse(allowed_memory_nodes),
        isolated=CpuSet.parse(isolated),
    )


def _kind(core: CpuSet, slow: CpuSet) -> str:
    if not slow:
        return ""
    return "efficiency" if core & slow else "performance"


def sysfs_of(nodes: Nodes, *, without_memory: Sequence[int] = ()) -> dict[str, str]:
    """What a kernel shows of the host that `make_host` makes of the same arguments."""
    cpu_base, node_base = "sys/devices/system/cpu", "sys/devices/system/node"
    files = {
        f"{node_base}/online": f"{CpuSet.of(nodes)}\n",
        f"{cpu_base}/online": f"{CpuSet.parse(','.join(c for n in nodes.values() for c in n))}\n",
    }
    for package, node in enumerate(sorted(nodes)):
        memory_kib = 0 if node in without_memory else 16 * GIB // 1024
        files[f"{node_base}/node{node}/cpulist"] = f"{CpuSet.parse(','.join(nodes[node]))}\n"
        files[f"{node_base}/node{node}/meminfo"] = (
            f"Node {node} MemTotal:       {memory_kib} kB\nNode {node} MemFree:  1 kB\n"
        )
        distances = " ".join("10" if node == other else "21" for other in sorted(nodes))
        files[f"{node_base}/node{node}/distance"] = f"{distances}\n"
        for core in nodes[node]:
            for cpu in CpuSet.parse(core):
                topology = f"{cpu_base}/cpu{cpu}/topology"
                files[f"{topology}/thread_siblings_list"] = f"{core}\n"
                files[f"{topology}/physical_package_id"] = f"{package}\n"
    return files


def make_settings(**sections: Any) -> Settings:
    """Settings of a stack on the host "box"; keys of sections as in a stack file."""
    return parse_settings({"hosts": {"box": {}}, **sections}, "test")


@st.composite
def node_maps(draw: st.DrawFn) -> dict[int, list[str]]:
    """NUMA nodes with gaps in their ids, uneven, with one to four CPUs a core."""
    ids = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True))
    counts = [draw(st.integers(0, 6)) for _ in ids]
    threads = draw(st.sampled_from([1, 2, 4]))
    total = sum(counts) * threads
    numbers = draw(st.permutations(range(total))) if total else []
    cores = [str(CpuSet.of(numbers[start : start + threads])) for start in range(0, total, threads)]
    return {
        node: [cores.pop() for _ in range(count)] for node, count in zip(ids, counts, strict=True)
    }
