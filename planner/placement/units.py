"""What an instance lies on: one NUMA node, or all NUMA nodes of a socket."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.settings import PlacementSettings
from planner.topology import HostTopology, NumaNode

UnitKind = Literal["node", "socket"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """
    The NUMA nodes that are divided among instances together.

    Attributes:
        kind: one NUMA node, or those of a socket.
        number: the kernel's, of the node or the socket.
        nodes: in order of id; one or more.
    """

    kind: UnitKind
    number: int
    nodes: tuple[NumaNode, ...]

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        if self.kind == "node":
            return f"NUMA node {self.number}"
        return f"socket {self.number} (NUMA nodes {self.ids})"

    @property
    def nodes_word(self) -> str:
        """What its nodes are called where it is left out."""
        return "the node" if self.kind == "node" else "its nodes"

    @property
    def ids(self) -> CpuSet:
        """The ids of its nodes."""
        return CpuSet.of(node.id for node in self.nodes)

    @property
    def cpus(self) -> CpuSet:
        """The online CPUs of its nodes."""
        return CpuSet.of(cpu for node in self.nodes for cpu in node.cpus)

    def memory(self, host: HostTopology) -> tuple[NumaNode, ...]:
        """Its nodes with memory that containers may use."""
        allowed = host.allowed_memory_nodes
        return tuple(node for node in self.nodes if node.memory_bytes and node.id in allowed)


def units_of(name: str, host: HostTopology, rules: PlacementSettings) -> tuple[Unit, ...]:
    """
    Divide a host into units.

    Excluded nodes are units of their own, and so are nodes without CPUs, which are in no socket.

    Args:
        name: of the host.
        host: its topology.
        rules: of the stack.

    Returns:
        Sockets in order of number, then single nodes in order of id.

    Raises:
        PlacementError: it cannot be told which nodes a socket has.
    """
    if rules.unit == "numa-node":
        return tuple(_alone(node) for node in host.nodes)
    sockets: dict[int, list[NumaNode]] = {}
    alone: list[Unit] = []
    faults: list[str] = []
    for node in host.nodes:
        packages = sorted({core.package for core in host.cores if core.cpus & node.cpus})
        if node.id in rules.exclude_nodes or not packages:
            alone.append(_alone(node))
        elif len(packages) > 1 or packages[0] < 0:
            faults.append(_no_socket(name, node, packages))
        else:
            sockets.setdefault(packages[0], []).append(node)
    if faults:
        raise PlacementError(*faults)
    whole = (
        Unit(kind="socket", number=number, nodes=tuple(nodes))
        for number, nodes in sorted(sockets.items())
    )
    return (*whole, *alone)


def _alone(node: NumaNode) -> Unit:
    return Unit(kind="node", number=node.id, nodes=(node,))


def _no_socket(name: str, node: NumaNode, packages: list[int]) -> str:
    lies = (
        f"lies in the sockets {', '.join(map(str, packages))}"
        if len(packages) > 1
        else "lies in a socket that its firmware does not name"
    )
    return (
        f"NUMA node {node.id} of host {name} {lies}, so that no socket has memory of its own. "
        "Write placement.unit: numa-node."
    )


def socket_notes(unit: Unit, host: HostTopology) -> Iterator[str]:
    """Say what an instance on several NUMA nodes costs; nothing of a single node."""
    if len(unit.nodes) == 1:
        return
    column = {node.id: index for index, node in enumerate(host.nodes)}
    memory = unit.memory(host)
    local = sorted({node.distances[column[node.id]] for node in unit.nodes})
    remote = sorted(
        {one.distances[column[other.id]] for one in unit.nodes for other in memory if one != other}
    )
    yield (
        f"an instance on {unit.title} uses the memory of all of them: an access to another node's "
        f"is at distance {_span(remote)} instead of {_span(local)}, which is {len(unit.nodes) - 1} "
        f"of {len(unit.nodes)} accesses where pages and threads are spread evenly "
        "(placement.unit is socket)"
    )
    bare = unit.ids - CpuSet.of(node.id for node in memory)
    if bare:
        yield (
            f"NUMA nodes {bare} have CPUs and no memory for containers: on {unit.title} they use "
            "that of the other nodes"
        )


def _span(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
