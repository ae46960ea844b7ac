"""Which cores instances may get, and which nodes get none."""

from collections.abc import Iterable

from planner.cpuset import CpuSet
from planner.settings import PlacementSettings
from planner.topology import Core, HostTopology, NumaNode


def usable_cores(host: HostTopology, node: NumaNode, reserved: CpuSet) -> tuple[Core, ...]:
    """
    List the cores of *node* that instances may get, by lowest CPU.

    A core counts only if containers may use every online CPU of it: half a core would leave its
    other half to someone else.

    Args:
        host: the host of *node*.
        node: one of its NUMA nodes.
        reserved: CPUs that no instance gets; whole cores.
    """
    usable = (node.cpus & host.allowed_cpus) - reserved
    return tuple(core for core in host.cores if core.cpus <= usable)


def all_cpus(cores: Iterable[Core]) -> CpuSet:
    """Join the CPUs of *cores*."""
    return CpuSet.of(cpu for core in cores for cpu in core.cpus)


def pick_cpus(cores: Iterable[Core], smt: str) -> CpuSet:
    """Choose the CPUs of *cores* that an instance runs on: one of each core, or all siblings."""
    if smt == "siblings":
        return all_cpus(cores)
    return CpuSet.of(core.cpus.first for core in cores)


def why_unplaced(host: HostTopology, node: NumaNode, settings: PlacementSettings) -> str | None:
    """Say why *node* gets no instance at all; None if it gets some."""
    if node.id in settings.exclude_nodes:
        return "left out by placement.exclude-nodes"
    if not node.memory_bytes:
        return "has no memory"
    if not node.cpus:
        return "has no CPUs"
    if node.id not in host.allowed_memory_nodes:
        return (
            "its memory is not allowed to containers "
            f"(the Docker daemon allows memory nodes {host.allowed_memory_nodes or 'none'})"
        )
    if not usable_cores(host, node, settings.reserved_cpus):
        return (
            f"has no usable core: of its CPUs {node.cpus} "
            f"the Docker daemon allows {node.cpus & host.allowed_cpus or 'none'}, and "
            f"placement.reserved-cpus takes {node.cpus & settings.reserved_cpus or 'none'}"
        )
    return None
