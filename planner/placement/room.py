"""Whether a node's instances find room: ports, addresses and memory."""

from collections.abc import Iterator

from planner.errors import PlacementError
from planner.settings import Settings
from planner.topology import NumaNode

# Host numbers of the instances' subnet below this are for the gateway and the balancer.
FIRST_HOST_NUMBER = 16

_HIGHEST_PORT = 65535
_MIB = 1 << 20


def offset(node: int, ordinal: int) -> int:
    """
    Return how far an instance's port and address are from the first ones of its host.

    Cantor's pairing function: each pair has a number of its own, whatever other nodes there are.
    The first instances of nodes 0, 1, 2 get 0, 1, 3; the second ones 2, 4, 7.

    Args:
        node: the kernel's number of the NUMA node.
        ordinal: which of the node's instances, from 0.
    """
    diagonal = node + ordinal
    return diagonal * (diagonal + 1) // 2 + ordinal


def check_room(name: str, node: NumaNode, last_offset: int, settings: Settings) -> None:
    """
    Refuse ports above the highest, and addresses outside the host's subnet.

    Args:
        name: of the host.
        node: one of its NUMA nodes.
        last_offset: how far the node's last instance is from the first port and address.
        settings: of the stack.

    Raises:
        PlacementError: names both, if both end too early.
    """
    faults: list[str] = []
    port = settings.server.rest_port + last_offset
    if port > _HIGHEST_PORT:
        faults.append(
            f"server.rest-port: from {settings.server.rest_port} on, the last instance of NUMA "
            f"node {node.id} of host {name} would get port {port}, above {_HIGHEST_PORT}. "
            f"Write {_HIGHEST_PORT - last_offset} or less."
        )
    subnet = settings.hosts[name].subnet
    room = subnet.num_addresses - FIRST_HOST_NUMBER - 1
    if last_offset >= room:
        faults.append(
            f"hosts.{name}.subnet: {subnet} has {room} addresses for instances, from its 17th on, "
            f"but the last instance of NUMA node {node.id} would get number {last_offset + 1}. "
            "Write a larger network, or lower placement.instances-per-node."
        )
    if faults:
        raise PlacementError(*faults)


def memory_faults(name: str, node: NumaNode, settings: Settings) -> Iterator[str]:
    """
    Yield the fault of instances that together need more memory than *node* has.

    What the operating system and others take of it is not known here, so that instances which
    pass may still not fit. With ``placement.memory-binding: none`` an instance may go beyond its
    node, and nothing is checked.
    """
    each, rules = settings.models.memory_mib, settings.placement
    if each is None or rules.memory_binding == "none":
        return
    has, instances = node.memory_bytes // _MIB, rules.instances_per_node
    if each * instances <= has:
        return
    fewer = f"lower placement.instances-per-node to {has // each} or less, " if each <= has else ""
    yield (
        f"NUMA node {node.id} of host {name} has {has} MiB of memory, but models.memory-mib is "
        f"{each} and placement.instances-per-node is {instances}: {each * instances} MiB. Serve "
        f"a smaller model, {fewer}or leave the node out with placement.exclude-nodes: [{node.id}]."
    )
