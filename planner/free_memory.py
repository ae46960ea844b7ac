"""Whether a plan's instances find their memory free on a host as it is now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.plan import Placement, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    The memory of an instance that runs.

    Attributes:
        limit_mib: the most that its container may take, in MiB; None: any.
        by_node: what its processes have of each NUMA node, in MiB, by the node's id.
    """

    limit_mib: int | None
    by_node: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """
    The memory of a host as it is now.

    Attributes:
        free_mib: what can be had of each NUMA node without swapping, in MiB, by the node's id.
        held: the instances of the stack that run, by name.
        unread: those of them of which it cannot be told what they hold.
    """

    free_mib: Mapping[int, int] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()


def check_free_memory(plan: Plan, host: str, memory: HostMemory) -> None:
    """
    Refuse a plan whose instances need more memory than their NUMA nodes have left.

    An instance that is replaced gives back what it holds, and one that stays has that already, so
    that each needs only the rest. One that is not planned any more is removed last, and what it
    holds is not free until then. Where each instance of a node runs with the limit it is planned
    with, nothing grows, and nothing is refused.

    Args:
        plan: of the stack.
        host: the name of one of its hosts.
        memory: of that host.

    Raises:
        PlacementError: names every node, what is free there, what is needed and what would fit.
    """
    placements = [one for one in plan.placements if one.host == host]
    pools = dict.fromkeys(one.memory_nodes for one in placements)
    faults = []
    for nodes in pools:
        own = [one for one in placements if one.memory_nodes == nodes]
        its = CpuSet.of(memory.free_mib) if nodes is None else nodes
        if its and its <= CpuSet.of(memory.free_mib) and not _settled(own, memory):
            faults += _faults(plan, host, its, own, memory)
    if faults:
        raise PlacementError(*faults)


def _settled(placements: Iterable[Placement], memory: HostMemory) -> bool:
    """Tell whether nothing new or larger is to come, or it cannot be told what is there."""
    held = memory.held
    same = all(
        one.name in held and held[one.name].limit_mib == one.memory_mib for one in placements
    )
    return same or any(one.name in memory.unread for one in placements)


def _faults(
    plan: Plan, host: str, nodes: CpuSet, placements: list[Placement], memory: HostMemory
) -> list[str]:
    each = plan.demand.least
    if each is None:
        return []
    free = sum(memory.free_mib[node] for node in nodes)
    has = [_held(memory, one, nodes) for one in placements]
    shared = plan.demand.mapped
    more = shared + sum(max(0, each - shared - its) for its in has)
    if more <= free:
        return []
    word = "node" if len(nodes) == 1 else "nodes"
    names = ", ".join(one.name for one in placements)
    names += " needs" if len(placements) == 1 else " need"
    holding = f", {sum(has)} MiB of which are held now" if sum(has) else ""
    return [
        f"NUMA {word} {nodes} of host {host}: {free} MiB of memory are free now, but {names} "
        f"{more} MiB more: each {plan.demand.words}{holding}. "
        + plan.demand.largest_cache(plan.demand.each_of(free + sum(has), len(placements)))
        + "End what else has memory there, serve with a smaller KV cache or a smaller model, or "
        "lower placement.instances-per-node."
    ]


def _held(memory: HostMemory, placement: Placement, nodes: CpuSet) -> int:
    its = memory.held.get(placement.name)
    return sum(its.by_node.get(node, 0) for node in nodes) if its else 0
