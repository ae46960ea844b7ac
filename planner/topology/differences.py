"""What has changed on a host since its topology was captured, in words."""

from collections.abc import Iterator

from planner.cpuset import CpuSet
from planner.topology.model import HostTopology, NumaNode

# Two captures of an unchanged host differ: the kernel's own share of a node's memory depends on
# its version and boot parameters, and sizes are rounded to steps of 64 MiB. A lost memory module
# is far more: at least 1 of the 24 that the largest sockets hold, or 4 %.
_MEMORY_SHARE = 0.02
_MEMORY_FLOOR_BYTES = 128 << 20

_GIB = 1 << 30


def differences(captured: HostTopology, live: HostTopology) -> tuple[str, ...]:
    """
    Say what is different on a host that a plan was made for.

    What follows from something already said is not said again: a CPU that went offline is missing
    in its NUMA node and its core too.

    Args:
        captured: the host as its file describes it.
        live: the host as it is.

    Returns:
        One phrase each, without a full stop, such as ``CPUs online: captured 0-7, now 0-6``; none
        where the hosts are equal but for 2 % of a node's memory (at least 128 MiB).
    """
    return (
        *_lists("NUMA nodes", _ids(captured), _ids(live)),
        *_lists("CPUs online", captured.online, live.online),
        *_of_nodes(captured, live),
        *_of_cores(captured, live),
        *_of_limits(captured, live),
    )


def _ids(host: HostTopology) -> CpuSet:
    return CpuSet.of(node.id for node in host.nodes)


def _lists(what: str, captured: CpuSet, live: CpuSet) -> Iterator[str]:
    if captured != live:
        yield f"{what}: captured {captured or 'none'}, now {live or 'none'}"


def _of_nodes(captured: HostTopology, live: HostTopology) -> Iterator[str]:
    both = captured.online & live.online
    now = {node.id: node for node in live.nodes}
    for old in captured.nodes:
        if old.id not in now:
            continue
        new = now[old.id]
        yield from _lists(f"CPUs of NUMA node {old.id}", old.cpus & both, new.cpus & both)
        yield from _memory(old, new)
        # A node more or less makes every row longer or shorter.
        if _ids(captured) == _ids(live) and old.distances != new.distances:
            yield (
                f"distances from NUMA node {old.id}: captured {_row(old.distances)}, "
                f"now {_row(new.distances)}"
            )


def _memory(old: NumaNode, new: NumaNode) -> Iterator[str]:
    tolerated = max(_MEMORY_FLOOR_BYTES, round(old.memory_bytes * _MEMORY_SHARE))
    gone_or_come = bool(old.memory_bytes) != bool(new.memory_bytes)
    if gone_or_come or abs(old.memory_bytes - new.memory_bytes) > tolerated:
        yield (
            f"memory of NUMA node {old.id}: captured {_size(old.memory_bytes)}, "
            f"now {_size(new.memory_bytes)}"
        )


def _of_cores(captured: HostTopology, live: HostTopology) -> Iterator[str]:
    """Compare the cores of the CPUs that are online in both, and the sockets they are in."""
    both = captured.online & live.online
    old, new = _core_of_cpu(captured, both), _core_of_cpu(live, both)
    regrouped = [cpu for cpu in both if old[cpu][0] != new[cpu][0]]
    if regrouped:
        cpu = regrouped[0]
        yield (
            f"cores: captured CPUs {old[cpu][0]} as one, now {new[cpu][0]}; "
            f"CPUs that are in another core: {CpuSet.of(regrouped)}"
        )
    moved = [cpu for cpu in both if old[cpu][1] != new[cpu][1]]
    if moved:
        cpu = moved[0]
        yield (
            f"sockets: captured CPU {cpu} in {old[cpu][1]}, now in {new[cpu][1]}; "
            f"CPUs that are in another socket: {CpuSet.of(moved)}"
        )


def _core_of_cpu(host: HostTopology, cpus: CpuSet) -> dict[int, tuple[CpuSet, int]]:
    return {cpu: (core.cpus & cpus, core.package) for core in host.cores for cpu in core.cpus}


def _of_limits(captured: HostTopology, live: HostTopology) -> Iterator[str]:
    cpus = captured.online & live.online
    yield from _lists("isolated CPUs", captured.isolated & cpus, live.isolated & cpus)
    yield from _lists(
        "CPUs that Docker may use", captured.allowed_cpus & cpus, live.allowed_cpus & cpus
    )
    nodes = captured.memory_nodes & live.memory_nodes
    yield from _lists(
        "memory nodes that Docker may use",
        captured.allowed_memory_nodes & nodes,
        live.allowed_memory_nodes & nodes,
    )


def _row(distances: tuple[int, ...]) -> str:
    return " ".join(str(distance) for distance in distances)


def _size(memory_bytes: int) -> str:
    return f"{memory_bytes / _GIB:.2f} GiB" if memory_bytes else "none"
