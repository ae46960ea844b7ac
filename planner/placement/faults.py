"""What of the settings a host cannot do, in words."""

from collections.abc import Iterable, Iterator

from planner.cpuset import CpuSet
from planner.placement.units import Unit
from planner.placement.usable import all_cpus
from planner.plan import Unplaced
from planner.settings import PlacementSettings, Settings
from planner.topology import HostTopology


def host_faults(name: str, host: HostTopology, settings: Settings) -> Iterator[str]:
    """Yield what the settings name that *host* does not have."""
    ids = CpuSet.of(node.id for node in host.nodes)
    unknown = CpuSet.of(settings.placement.exclude_nodes) - ids
    if unknown:
        yield (
            f"placement.exclude-nodes: host {name} has no NUMA node {unknown}; it has {ids}. "
            "Write ids of these."
        )
    reserved = settings.placement.reserved_cpus
    if not reserved <= host.online:
        yield (
            f"placement.reserved-cpus: CPUs {reserved - host.online} are not online on host "
            f"{name}; {host.online} are. Write CPUs of these."
        )
    touched = all_cpus(core for core in host.cores if core.cpus & reserved)
    if not touched <= reserved:
        yield (
            f"placement.reserved-cpus: {reserved} leaves CPUs {touched - reserved} of the same "
            f"cores of host {name} over, and instances get whole cores. Write {touched}."
        )
    if name == settings.balancer_host and not settings.balancer.cpus <= host.allowed_cpus:
        yield (
            f"balancer.cpus: CPUs {settings.balancer.cpus - host.allowed_cpus} are not among those "
            f"that containers may use on host {name} ({host.allowed_cpus}). Write CPUs of these."
        )


def policy_faults(
    name: str, unit: Unit, host: HostTopology, reason: str | None, rules: PlacementSettings
) -> Iterator[str]:
    """
    Yield what the policy refuses of a unit.

    Args:
        name: of the host.
        unit: of it.
        host: its topology.
        reason: why the unit gets no instance; None if it may get some.
        rules: of the stack.
    """
    excluded = not unit.ids - CpuSet.of(rules.exclude_nodes)
    if not rules.refuses_misfits or excluded:
        return
    leave_out = "leave it out with placement.exclude-nodes"
    if reason is not None:
        yield (
            f"{unit.title} of host {name}: {reason}; placement.policy is {rules.policy}. Change "
            f"that, {leave_out}: {list(unit.ids)}, or write policy: best-effort."
        )
        return
    bare = unit.ids - CpuSet.of(node.id for node in unit.memory(host))
    if bare:
        yield (
            f"{unit.title} of host {name}: nodes {bare} have no memory that containers may use; "
            f"placement.policy is {rules.policy}. Change that, {leave_out}: {list(bare)}, or write "
            "policy: best-effort."
        )
    if rules.policy == "single-numa-node" and len(unit.nodes) > 1:
        yield (
            f"{unit.title} of host {name}: an instance on it lies on {len(unit.nodes)} NUMA "
            "nodes, and placement.policy is single-numa-node. Write unit: numa-node, or policy: "
            "restricted."
        )


def nothing_placed(unplaced: Iterable[Unplaced]) -> str:
    """Say that no unit of any host can take an instance."""
    reasons = "; ".join(f"{one.title} of host {one.host}: {one.reason}" for one in unplaced)
    return (
        f"No NUMA node can take an instance: {reasons}. Change "
        "placement.exclude-nodes, reserved-cpus, reserved-cores or isolated-cpus, or what the "
        "Docker daemon is allowed."
    )
