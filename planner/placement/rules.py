"""The rules by which instances are placed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from planner.cpuset import CpuSet
from planner.demand import Demand, ModelFiles, demand_of
from planner.errors import PlacementError
from planner.placement.faults import host_faults, nothing_placed, policy_faults
from planner.placement.notes import plan_notes
from planner.placement.room import (
    FIRST_HOST_NUMBER,
    Misfit,
    check_room,
    memory_misfit,
    offset,
    unbound_fault,
)
from planner.placement.units import Unit, units_of
from planner.placement.usable import Usable, all_cpus, pick_cpus, usable_host, why_unplaced
from planner.plan import Placement, Plan, Unplaced
from planner.settings import PlacementSettings, Settings
from planner.topology import Core, HostTopology


@dataclass(slots=True)
class _Placed:
    """What became of the hosts so far."""

    placements: list[Placement] = field(default_factory=list)
    unplaced: list[Unplaced] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    usable: dict[str, Usable] = field(default_factory=dict)


def plan(
    settings: Settings, topologies: Mapping[str, HostTopology], files: ModelFiles | None = None
) -> Plan:
    """
    Place the instances of a stack.

    Every unit (NUMA node or socket) gets ``placement.instances-per-node`` instances; instance k
    of it gets its usable cores [k*c, (k+1)*c), in order of lowest CPU, where c is
    ``placement.cores-per-instance``. Only with ``placement.cpu-sharing: allowed`` does the count
    go round to the first core again. Names, ports and addresses are of host, unit and ordinal
    alone, so that neither an instance nor a unit more moves another instance. A unit that does
    not fit is left out, or a fault, as ``placement.policy`` says; one where nothing else fits is
    always a fault.

    Args:
        settings: of the stack.
        topologies: by host name; those of other hosts are not looked at.
        files: what the models' files say, where they can be read.

    Raises:
        PlacementError: the settings do not fit the hosts; names every fault of every unit.
    """
    hosts = {name: _topology(name, topologies) for name in sorted(settings.hosts)}
    demand = demand_of(settings, files)
    placed = _Placed()
    for name, host in hosts.items():
        placed.faults += host_faults(name, host, settings)
        try:
            _place_host(name, host, settings, demand, placed)
        except PlacementError as error:
            placed.faults += error.faults
    if not placed.placements:
        placed.faults += placed.misfits
    if not placed.placements and not placed.faults:
        placed.faults.append(nothing_placed(placed.unplaced))
    if placed.faults:
        raise PlacementError(*placed.faults)
    placements = tuple(placed.placements)
    balancer_cpus = _balancer_cpus(settings, placed.usable[settings.balancer_host])
    return Plan(
        placements=placements,
        unplaced=tuple(placed.unplaced),
        balancer_cpus=balancer_cpus,
        demand=demand,
        notes=plan_notes(settings, placed.usable, placements, balancer_cpus, demand),
    )


def _topology(name: str, topologies: Mapping[str, HostTopology]) -> HostTopology:
    if name in topologies:
        return topologies[name]
    raise PlacementError(
        f"host {name}: its topology is not known. Probe it, or capture it into the file that "
        f"hosts.{name}.topology names."
    )


def _balancer_cpus(settings: Settings, usable: Usable) -> CpuSet:
    """Return the CPUs of the balancer: those written, else the reserved ones of its host."""
    return settings.balancer.cpus or usable.reserved & usable.host.allowed_cpus


def _place_host(
    name: str, host: HostTopology, settings: Settings, demand: Demand, placed: _Placed
) -> None:
    """
    Place all instances of one host, and note what becomes of each of its units.

    Raises:
        PlacementError: it cannot be divided.
    """
    rules = settings.placement
    usable = placed.usable[name] = usable_host(name, host, rules)
    instances = 0
    for unit in units_of(name, host, rules):
        reason = why_unplaced(unit, usable, rules)
        placed.faults += policy_faults(name, unit, host, reason, rules)
        if reason is not None:
            placed.unplaced.append(Unplaced(host=name, title=unit.title, reason=reason))
            continue
        misfits = tuple(_misfits(unit, usable, demand, rules))
        if misfits:
            told = [misfit.fault(unit, name) for misfit in misfits]
            (placed.faults if rules.refuses_misfits else placed.misfits).extend(told)
            reason = "; ".join(misfit.reason for misfit in misfits)
            placed.unplaced.append(Unplaced(host=name, title=unit.title, reason=reason))
            continue
        try:
            placed.placements += _place_unit(name, unit, usable, settings, demand)
        except PlacementError as error:
            placed.faults += error.faults
        instances += rules.instances_per_node
    if fault := unbound_fault(name, host, demand, instances, rules):
        placed.faults.append(fault)


def _misfits(
    unit: Unit, usable: Usable, demand: Demand, rules: PlacementSettings
) -> Iterator[Misfit]:
    for misfit in (
        memory_misfit(unit, usable.host, demand, rules),
        _too_few_cores(unit, usable.cores(unit.cpus), rules),
    ):
        if misfit is not None:
            yield misfit


def _place_unit(
    name: str, unit: Unit, usable: Usable, settings: Settings, demand: Demand
) -> list[Placement]:
    """
    Place all instances of one unit, which has enough cores.

    Raises:
        PlacementError: ports or addresses end before the last of them.
    """
    rules = settings.placement
    cores = usable.cores(unit.cpus)
    each = _cores_each(cores, rules)
    offsets = [offset(unit.number, ordinal) for ordinal in range(rules.instances_per_node)]
    check_room(name, unit, offsets[-1], settings)
    first_address = settings.hosts[name].subnet.network_address + FIRST_HOST_NUMBER
    published = None if name == settings.balancer_host else settings.hosts[name].address
    memory = CpuSet.of(node.id for node in unit.memory(usable.host))
    placements: list[Placement] = []
    for ordinal, number in enumerate(offsets):
        own = [cores[(ordinal * each + index) % len(cores)] for index in range(each)]
        placements.append(
            Placement(
                host=name,
                unit=unit.kind,
                number=unit.number,
                nodes=unit.ids,
                ordinal=ordinal,
                cpus=_bound_cpus(usable, own, rules),
                memory_nodes=memory if rules.binds_memory else None,
                memory_bytes=None if demand.limit is None else demand.limit << 20,
                threads=len(pick_cpus(own, rules.smt)),
                port=settings.server.rest_port + number,
                address=str(first_address + number),
                published=published,
                weight=each,
            )
        )
    return placements


def _cores_each(cores: tuple[Core, ...], rules: PlacementSettings) -> int:
    """Tell how many cores each instance gets of a unit's *cores*."""
    return rules.cores_per_instance or max(1, len(cores) // rules.instances_per_node)


def _too_few_cores(unit: Unit, cores: tuple[Core, ...], rules: PlacementSettings) -> Misfit | None:
    """Tell whether *unit* has fewer usable cores than its instances need."""
    instances, usable = rules.instances_per_node, len(cores)
    shared = rules.cpu_sharing == "allowed"
    each = _cores_each(cores, rules)
    needed = each if shared else each * instances
    if needed <= usable:
        return None
    has = f"has {usable} usable cores ({all_cpus(cores)})"
    leave_out = f"leave {unit.nodes_word} out with placement.exclude-nodes: {list(unit.ids)}"
    if each > usable:
        return Misfit(
            reason=f"{has}, but placement.cores-per-instance is {each}",
            remedy=f"Lower it to {usable} or less, or {leave_out}.",
        )
    return Misfit(
        reason=f"{has}, but placement.instances-per-node is {instances} and each instance needs "
        f"{each} of its own: {needed}",
        remedy=f"Lower placement.instances-per-node to {usable // each} or less, "
        f"set placement.cpu-sharing: allowed, or {leave_out}.",
    )


def _bound_cpus(usable: Usable, own: list[Core], rules: PlacementSettings) -> CpuSet | None:
    """Give the CPU set of an instance that was given the cores *own*."""
    if rules.cpus_bound_to == "none":
        return None
    if rules.cpus_bound_to == "node":
        return pick_cpus(own, rules.smt)
    nodes = (node for node in usable.host.nodes if node.id not in rules.exclude_nodes)
    cores = (core for node in nodes for core in usable.cores(node.cpus))
    return pick_cpus(cores, rules.smt)
