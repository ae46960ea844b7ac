"""The rules by which instances are placed."""

from collections.abc import Iterator, Mapping

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.placement.notes import plan_notes
from planner.placement.room import FIRST_HOST_NUMBER, check_room, memory_faults, offset
from planner.placement.usable import all_cpus, pick_cpus, usable_cores, why_unplaced
from planner.plan import Placement, Plan, Unplaced
from planner.settings import PlacementSettings, Settings
from planner.topology import Core, HostTopology, NumaNode


def plan(settings: Settings, topologies: Mapping[str, HostTopology]) -> Plan:
    """
    Place the instances of a stack.

    Every usable NUMA node gets ``placement.instances-per-node`` instances; instance k of a node
    gets its usable cores [k*c, (k+1)*c), in order of lowest CPU, where c is
    ``placement.cores-per-instance``. Only with ``placement.cpu-sharing: allowed`` does the count
    go round to the node's first core again. Names, ports and addresses are of host, node and
    ordinal alone, so that neither an instance nor a node more moves another instance.

    Args:
        settings: of the stack.
        topologies: by host name; those of other hosts are not looked at.

    Raises:
        PlacementError: the settings do not fit the hosts; names every fault of every node.
    """
    hosts = {name: _topology(name, topologies) for name in sorted(settings.hosts)}
    faults = [fault for name in hosts for fault in _host_faults(name, hosts[name], settings)]
    placements: list[Placement] = []
    unplaced: list[Unplaced] = []
    for name, host in hosts.items():
        for node in host.nodes:
            reason = why_unplaced(host, node, settings.placement)
            if reason is not None:
                unplaced.append(Unplaced(host=name, node=node.id, reason=reason))
                continue
            faults += memory_faults(name, node, settings)
            try:
                placements += _place_node(name, host, node, settings)
            except PlacementError as error:
                faults += error.faults
    if not placements and not faults:
        faults.append(_nothing_placed(unplaced))
    if faults:
        raise PlacementError(*faults)
    notes = plan_notes(settings, hosts, tuple(placements))
    return Plan(placements=tuple(placements), unplaced=tuple(unplaced), notes=notes)


def _topology(name: str, topologies: Mapping[str, HostTopology]) -> HostTopology:
    if name in topologies:
        return topologies[name]
    raise PlacementError(
        f"host {name}: its topology is not known. Probe it, or capture it into the file that "
        f"hosts.{name}.topology names."
    )


def _host_faults(name: str, host: HostTopology, settings: Settings) -> Iterator[str]:
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


def _place_node(
    name: str, host: HostTopology, node: NumaNode, settings: Settings
) -> list[Placement]:
    """Place all instances of one node, or raise what keeps them from fitting."""
    rules = settings.placement
    cores = usable_cores(host, node, rules.reserved_cpus)
    each = _cores_each(name, node, cores, rules)
    offsets = [offset(node.id, ordinal) for ordinal in range(rules.instances_per_node)]
    check_room(name, node, offsets[-1], settings)
    first_address = settings.hosts[name].subnet.network_address + FIRST_HOST_NUMBER
    published = None if name == settings.balancer_host else settings.hosts[name].address
    placements: list[Placement] = []
    for ordinal, number in enumerate(offsets):
        own = [cores[(ordinal * each + index) % len(cores)] for index in range(each)]
        placements.append(
            Placement(
                host=name,
                node=node.id,
                ordinal=ordinal,
                cpus=_bound_cpus(host, own, rules),
                memory_nodes=CpuSet.of([node.id]) if rules.memory_binding == "bind" else None,
                threads=len(pick_cpus(own, rules.smt)),
                port=settings.server.rest_port + number,
                address=str(first_address + number),
                published=published,
                weight=each,
            )
        )
    return placements


def _cores_each(
    name: str, node: NumaNode, cores: tuple[Core, ...], rules: PlacementSettings
) -> int:
    """
    Tell how many cores each instance of *node* gets.

    Raises:
        PlacementError: the node has fewer usable cores than its instances need.
    """
    instances, usable = rules.instances_per_node, len(cores)
    shared = rules.cpu_sharing == "allowed"
    each = rules.cores_per_instance or max(1, usable // instances)
    needed = each if shared else each * instances
    if needed <= usable:
        return each
    has = f"NUMA node {node.id} of host {name} has {usable} usable cores ({all_cpus(cores)})"
    leave_out = f"leave the node out with placement.exclude-nodes: [{node.id}]"
    if each > usable:
        raise PlacementError(
            f"{has}, but placement.cores-per-instance is {each}. "
            f"Lower it to {usable} or less, or {leave_out}."
        )
    raise PlacementError(
        f"{has}, but placement.instances-per-node is {instances} and each instance needs {each} "
        f"of its own: {needed}. Lower placement.instances-per-node to {usable // each} or less, "
        f"set placement.cpu-sharing: allowed, or {leave_out}."
    )


def _bound_cpus(host: HostTopology, own: list[Core], rules: PlacementSettings) -> CpuSet | None:
    """Give the CPU set of an instance that was given the cores *own*."""
    if rules.cpu_binding == "none":
        return None
    if rules.cpu_binding == "node":
        return pick_cpus(own, rules.smt)
    nodes = (node for node in host.nodes if node.id not in rules.exclude_nodes)
    cores = (core for node in nodes for core in usable_cores(host, node, rules.reserved_cpus))
    return pick_cpus(cores, rules.smt)


def _nothing_placed(unplaced: list[Unplaced]) -> str:
    reasons = "; ".join(
        f"NUMA node {one.node} of host {one.host}: {one.reason}" for one in unplaced
    )
    return (
        f"No NUMA node can take an instance: {reasons}. Change placement.exclude-nodes or "
        "placement.reserved-cpus, or what the Docker daemon is allowed."
    )
