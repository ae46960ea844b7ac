"""What an operator should know of the placements on one host."""

from collections.abc import Iterator, Mapping

from planner.cpuset import CpuSet
from planner.placement.units import socket_notes, units_of
from planner.placement.usable import Usable, all_cpus
from planner.plan import Placement
from planner.settings import Settings
from planner.topology import HostTopology


def host_notes(
    settings: Settings,
    name: str,
    usable: Usable,
    placements: tuple[Placement, ...],
    balancer_cpus: CpuSet,
) -> Iterator[str]:
    """
    Say what the placements mean for their neighbours.

    Args:
        settings: of the stack.
        name: of the host.
        usable: what instances may use of it.
        placements: those on it, in order.
        balancer_cpus: the CPUs of the balancer; none: it floats.
    """
    yield from _partly_allowed(name, usable.host)
    yield from _isolated(settings, name, usable, placements)
    yield from _siblings(settings, name, usable.host)
    for unit in units_of(name, usable.host, settings.placement):
        if any((one.unit, one.number) == (unit.kind, unit.number) for one in placements):
            yield from socket_notes(unit, usable.host)
    # Without a CPU set of its own an instance has no neighbours to name; the plan's notes say so.
    if settings.placement.cpus_bound_to != "node":
        return
    owners = _owners(placements)
    yield from _mixed_kinds(name, usable.host, placements)
    yield from _shared(owners)
    yield from _left_over(settings, name, usable, placements)
    if name == settings.balancer_host:
        yield from _balancer(balancer_cpus, owners)


def _partly_allowed(name: str, host: HostTopology) -> Iterator[str]:
    for core in host.cores:
        allowed = core.cpus & host.allowed_cpus
        if allowed and allowed != core.cpus:
            yield (
                f"core {core.cpus} of host {name} is left out: containers may use only {allowed} "
                "of it"
            )


def _isolated(
    settings: Settings, name: str, usable: Usable, placements: tuple[Placement, ...]
) -> Iterator[str]:
    """Say what becomes of CPUs to which the kernel's scheduler moves nothing by itself."""
    if usable.avoided:
        yield (
            f"CPUs {usable.avoided} of host {name} run no instance: its kernel isolates them, and "
            f"placement.isolated-cpus is {settings.placement.isolated_cpus}"
        )
        return
    for one in placements:
        isolated = (one.cpus or CpuSet()) & usable.host.isolated
        if isolated:
            yield (
                f"{one.name} runs on isolated CPUs {isolated}: the kernel spreads no threads over "
                "them, so all that the server does not pin itself share one of them"
            )


def _mixed_kinds(name: str, host: HostTopology, placements: tuple[Placement, ...]) -> Iterator[str]:
    """Say which instances have fast and slow cores, whose fast ones wait for the slow."""
    kinds = {core.kind for core in host.cores if core.kind}
    for one in placements:
        its = {kind: host.cpus_of_kind(kind) & (one.cpus or CpuSet()) for kind in sorted(kinds)}
        if sum(bool(cpus) for cpus in its.values()) > 1:
            parts = " and ".join(f"{kind} cores ({cpus})" for kind, cpus in its.items())
            yield (
                f"{one.name} runs on {parts} of host {name}: work is split evenly over threads, "
                "so the faster wait for the slower; placement.reserved-cpus keeps one kind out"
            )


def _siblings(settings: Settings, name: str, host: HostTopology) -> Iterator[str]:
    most = max((len(core.cpus) for core in host.cores), default=1)
    if settings.placement.smt == "siblings" and most > 1:
        yield (
            f"placement.smt is siblings: an instance runs on all {most} CPUs of each core of host "
            f"{name}, which share the core's arithmetic units; measure it against one-per-core"
        )


def _owners(placements: tuple[Placement, ...]) -> dict[int, tuple[str, ...]]:
    """Map each pinned CPU to the names of the instances on it."""
    owners: dict[int, tuple[str, ...]] = {}
    for placement in placements:
        for cpu in placement.cpus or ():
            owners[cpu] = (*owners.get(cpu, ()), placement.name)
    return owners


def _shared(owners: Mapping[int, tuple[str, ...]]) -> Iterator[str]:
    for names in sorted({names for names in owners.values() if len(names) > 1}):
        cpus = CpuSet.of(cpu for cpu, its in owners.items() if its == names)
        yield f"CPUs {cpus} are shared by {', '.join(names)} (placement.cpu-sharing is allowed)"


def _left_over(
    settings: Settings, name: str, usable: Usable, placements: tuple[Placement, ...]
) -> Iterator[str]:
    """Say which cores an even division leaves, and whether any is left for the system."""
    pinned = CpuSet.of(cpu for one in placements for cpu in one.cpus or ())
    if settings.placement.cores_per_instance is None:
        for unit in units_of(name, usable.host, settings.placement):
            cores = usable.cores(unit.cpus)
            idle = all_cpus(core for core in cores if not core.cpus & pinned)
            placed = any((one.unit, one.number) == (unit.kind, unit.number) for one in placements)
            if idle and placed:
                yield (
                    f"CPUs {idle} of {unit.title} of host {name} run no instance: "
                    f"{len(cores)} cores do not divide evenly by "
                    f"{settings.placement.instances_per_node}"
                )
    if all(core.cpus & pinned for core in usable.host.cores):
        yield (
            f"every core of host {name} runs an instance, and the operating system shares them; "
            "placement.reserved-cpus keeps cores free"
        )


def _balancer(cpus: CpuSet, owners: Mapping[int, tuple[str, ...]]) -> Iterator[str]:
    if not cpus:
        yield (
            f"the balancer floats (balancer.cpus is empty): it shares CPUs {CpuSet.of(owners)} "
            "with the instances"
        )
    shared = cpus & CpuSet.of(owners)
    if shared:
        names = sorted({name for cpu in shared for name in owners[cpu]})
        yield (
            f"the balancer shares CPUs {shared} with {', '.join(names)}; "
            "placement.reserved-cpus keeps cores free for it"
        )
