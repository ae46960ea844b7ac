"""Whether a unit's instances find room: ports, addresses and memory."""

from dataclasses import dataclass

from planner.demand import Demand
from planner.errors import PlacementError
from planner.placement.units import Unit
from planner.settings import PlacementSettings, Settings
from planner.topology import HostTopology

# Host numbers of the instances' subnet below this are for the gateway and the balancer.
FIRST_HOST_NUMBER = 16

_HIGHEST_PORT = 65535
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """
    What keeps a unit's instances from fitting.

    Attributes:
        reason: the end of a sentence that begins with the unit.
        remedy: what to write instead, a sentence or two.
    """

    reason: str
    remedy: str

    def fault(self, unit: Unit, name: str) -> str:
        """The whole message, where the unit is of host *name*."""
        return f"{unit.title} of host {name} {self.reason}. {self.remedy}"


def offset(number: int, ordinal: int) -> int:
    """
    Return how far an instance's port and address are from the first ones of its host.

    Cantor's pairing function: each pair has a number of its own, whatever other units there are.
    The first instances of nodes 0, 1, 2 get 0, 1, 3; the second ones 2, 4, 7.

    Args:
        number: the kernel's number of the NUMA node or socket.
        ordinal: which of its instances, from 0.
    """
    diagonal = number + ordinal
    return diagonal * (diagonal + 1) // 2 + ordinal


def check_room(name: str, unit: Unit, last_offset: int, settings: Settings) -> None:
    """
    Refuse ports above the highest, and addresses outside the host's subnet.

    Args:
        name: of the host.
        unit: of it.
        last_offset: how far the unit's last instance is from the first port and address.
        settings: of the stack.

    Raises:
        PlacementError: names both, if both end too early.
    """
    faults: list[str] = []
    port = settings.server.rest_port + last_offset
    if port > _HIGHEST_PORT:
        faults.append(
            f"server.rest-port: from {settings.server.rest_port} on, the last instance of "
            f"{unit.title} of host {name} would get port {port}, above {_HIGHEST_PORT}. "
            f"Write {_HIGHEST_PORT - last_offset} or less."
        )
    subnet = settings.hosts[name].subnet
    room = subnet.num_addresses - FIRST_HOST_NUMBER - 1
    if last_offset >= room:
        faults.append(
            f"hosts.{name}.subnet: {subnet} has {room} addresses for instances, from its 17th on, "
            f"but the last instance of {unit.title} would get number {last_offset + 1}. "
            "Write a larger network, or lower placement.instances-per-node."
        )
    if faults:
        raise PlacementError(*faults)


def memory_misfit(
    unit: Unit, host: HostTopology, demand: Demand, rules: PlacementSettings
) -> Misfit | None:
    """
    Tell whether the instances of *unit* together need more memory than it has.

    What the operating system takes is `placement.reserved-memory-mib` of each node. Where memory
    is not bound, an instance may go beyond its unit, and `unbound_fault` looks at the whole host.
    """
    each, instances = demand.least, rules.instances_per_node
    together = demand.together(instances)
    if each is None or together is None or not rules.binds_memory:
        return None
    memory = unit.memory(host)
    has = sum(node.memory_bytes // _MIB for node in memory)
    room = has - rules.reserved_memory_mib * len(memory)
    if together <= room:
        return None
    # Where an instance needs nothing but what all share, fewer of them need no less.
    own = each - demand.mapped
    fewer = (room - demand.mapped) // own if own else 0
    return Misfit(
        reason=f"has {_room(has, rules, len(memory))}, but {_needs(demand, instances)}",
        remedy=demand.largest_cache(demand.each_of(room, instances))
        + "Serve a smaller model or with a smaller cache, "
        + (f"lower placement.instances-per-node to {fewer} or less, " if fewer > 0 else "")
        + f"or leave {unit.nodes_word} out with placement.exclude-nodes: {list(unit.ids)}.",
    )


def unbound_fault(
    name: str, host: HostTopology, demand: Demand, instances: int, rules: PlacementSettings
) -> str | None:
    """Say that *instances* whose memory is not bound need more than all of *host* has."""
    together = demand.together(instances)
    if together is None or rules.binds_memory or not instances:
        return None
    memory = [node for node in host.nodes if node.id in host.allowed_memory_nodes]
    has = sum(node.memory_bytes // _MIB for node in memory)
    room = has - rules.reserved_memory_mib * len(memory)
    if together <= room:
        return None
    return (
        f"Host {name} has {_room(has, rules, len(memory))}, but {_needs(demand, instances)}. "
        + demand.largest_cache(demand.each_of(room, instances))
        + "Serve a smaller model or with a smaller cache, or lower placement.instances-per-node."
    )


def _room(has: int, rules: PlacementSettings, nodes: int) -> str:
    kept = rules.reserved_memory_mib * nodes
    return f"{has} MiB of memory" + (
        f", of which placement.reserved-memory-mib keeps {kept}" if kept else ""
    )


def _needs(demand: Demand, instances: int) -> str:
    if instances == 1:
        return f"an instance needs {demand.words}"
    shared = ", the weights mapped once" if demand.mapped else ""
    return (
        f"{instances} instances need {demand.together(instances)} MiB, each {demand.words}{shared}"
    )
