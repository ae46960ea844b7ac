"""What of a plan a host no longer has, which is not the host that the plan was made for."""

from collections.abc import Iterable, Iterator

from planner.cpuset import CpuSet
from planner.plan import Placement
from planner.topology import HostTopology


def stale(placements: Iterable[Placement], live: HostTopology) -> tuple[str, ...]:
    """
    Say which placements a host cannot carry out as they are planned.

    Args:
        placements: of one host, planned for another topology than *live*.
        live: the host as it is.

    Returns:
        One phrase for each thing that an instance would not have, without a full stop.
    """
    return tuple(phrase for placement in placements for phrase in _of(placement, live))


def _of(placement: Placement, live: HostTopology) -> Iterator[str]:
    cpus = placement.cpus or CpuSet()
    if lost := cpus - live.allowed_cpus:
        yield f"{placement.name} is planned on the CPUs {cpus}, of which {lost} cannot be had"
    homes = CpuSet.of(node.id for node in live.nodes if node.cpus & cpus)
    memory = placement.memory_nodes
    # An instance that floats over the host spans its nodes anyway.
    if homes - placement.nodes and memory is not None and memory <= placement.nodes:
        yield (
            f"{placement.name} is planned on the CPUs and the memory of "
            f"{_nodes(placement.nodes)}, but its CPUs {cpus} are of {_nodes(homes)}"
        )
    if lost := (placement.memory_nodes or CpuSet()) - live.allowed_memory_nodes:
        yield f"{placement.name} is planned on the memory of {_nodes(lost)}, which cannot be had"


def _nodes(ids: CpuSet) -> str:
    return f"NUMA node{'s' * (len(ids) > 1)} {ids}"
