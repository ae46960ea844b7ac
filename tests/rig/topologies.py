"""The named topologies of the rig: what QEMU is told, and what the machine then is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CPUS: Final = 8

_LOCAL, _NEAR, _FAR = 10, 12, 21
"""Distances as firmware gives them: itself, the other cluster of a socket, the other socket."""


@dataclass(frozen=True, slots=True)
class Node:
    """
    A NUMA node.

    Attributes:
        cpus: as QEMU takes them, a comma before each range; empty: it has none.
        memory_mib: 0: it has none.
        socket: which of the distances to other nodes are near.
    """

    cpus: str
    memory_mib: int
    socket: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """
    A machine of two sockets.

    Attributes:
        nodes: in the order of their ids.
        threads: CPUs of a core.
        offline: CPUs that are taken offline once it runs.
    """

    nodes: tuple[Node, ...]
    threads: int = 1
    offline: tuple[int, ...] = ()

    def options(self) -> list[str]:
        """Return QEMU's options for CPUs and memory."""
        cores = CPUS // 2 // self.threads
        words = ["-smp", f"{CPUS},sockets=2,cores={cores},threads={self.threads}"]
        words += ["-m", f"{sum(node.memory_mib for node in self.nodes)}M"]
        for number, node in enumerate(self.nodes):
            parts = [f"node,nodeid={number}", *(f"cpus={each}" for each in node.cpus.split())]
            if node.memory_mib:
                memory = f"memory-backend-ram,id=m{number},size={node.memory_mib}M"
                words += ["-object", memory]
                parts.append(f"memdev=m{number}")
            words += ["-numa", ",".join(parts)]
        return words + self._distances()

    def _distances(self) -> list[str]:
        words = []
        for source, one in enumerate(self.nodes):
            for target, other in enumerate(self.nodes):
                if source != target:
                    distance = _NEAR if one.socket == other.socket else _FAR
                    words += ["-numa", f"dist,src={source},dst={target},val={distance}"]
        return words


def _two(first: str, second: str, memory: tuple[int, int] = (3072, 3072)) -> tuple[Node, Node]:
    return Node(first, memory[0], 0), Node(second, memory[1], 1)


TOPOLOGIES: Final[Mapping[str, Topology]] = {
    "2-nodes": Topology(nodes=_two("0-3", "4-7")),
    "snc-4-nodes": Topology(
        nodes=(
            Node("0-1", 2048, 0),
            Node("2-3", 2048, 0),
            Node("4-5", 2048, 1),
            Node("6-7", 2048, 1),
        )
    ),
    "smt": Topology(nodes=_two("0-3", "4-7"), threads=2),
    # Node 1 has CPUs of both sockets.
    "uneven": Topology(nodes=_two("0-2", "3-7")),
    # The sockets do not follow: QEMU numbers their CPUs in a row.
    "interleaved": Topology(nodes=_two("0 2 4 6", "1 3 5 7")),
    "memoryless-node": Topology(nodes=_two("0-3", "4-7", (6144, 0))),
    "cpuless-node": Topology(nodes=_two("0-7", "", (3072, 3072))),
    "offline-cpu": Topology(nodes=_two("0-3", "4-7"), offline=(5,)),
}
