"""The values that describe a host; a HostTopology that contradicts itself cannot be made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from planner.cpuset import CpuSet
from planner.errors import TopologyError
from planner.topology.document import Document
from planner.topology.kinds import EFFICIENCY, PERFORMANCE, kind_of_core


@dataclass(frozen=True, slots=True, kw_only=True)
class NumaNode:
    """
    One NUMA node, by the kernel's number.

    Attributes:
        id: the kernel's number of the node; numbers may have gaps.
        cpus: its online CPUs; none for a node that is only memory.
        memory_bytes: its memory, rounded down; 0 for a node that is only CPUs.
        distances: to each node of the host in order of node id; unitless, 10 = local (ACPI SLIT).
    """

    id: int
    cpus: CpuSet
    memory_bytes: int
    distances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Core:
    """
    One physical core.

    Attributes:
        cpus: its online CPUs (hardware threads), one or more.
        package: the kernel's number of the socket; -1 where the firmware does not say.
        kind: "performance" or "efficiency" on a machine that has both, else "".
    """

    cpus: CpuSet
    package: int
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTopology:
    """
    All NUMA nodes and cores of one host, and what of them its containers may use.

    Attributes:
        nodes: in order of id; given in any order.
        cores: in order of lowest CPU; given in any order.
        online: every CPU that the kernel runs.
        allowed_cpus: the online CPUs that the Docker daemon may give to a container.
        allowed_memory_nodes: the ids of the nodes whose memory it may give.
        isolated: the online CPUs that the kernel's scheduler gives nothing to unless it is asked
            for (boot parameter ``isolcpus``).
        cgroup_version: of the control groups that Docker limits CPUs with, 1 or 2; None where it
            is not known.

    Raises:
        TopologyError: the parts contradict each other; names every contradiction.
    """

    nodes: tuple[NumaNode, ...]
    cores: tuple[Core, ...]
    online: CpuSet
    allowed_cpus: CpuSet
    allowed_memory_nodes: CpuSet
    isolated: CpuSet = field(default_factory=CpuSet)
    cgroup_version: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(sorted(self.nodes, key=lambda node: node.id)))
        object.__setattr__(self, "cores", tuple(sorted(self.cores, key=_core_order)))
        faults = (*_node_faults(self), *_core_faults(self), *_allowed_faults(self))
        if faults:
            raise TopologyError(*faults)

    @property
    def memory_nodes(self) -> CpuSet:
        """The ids of the nodes that have memory, allowed or not."""
        return CpuSet.of(node.id for node in self.nodes if node.memory_bytes)

    def cpus_of_kind(self, kind: str) -> CpuSet:
        """The online CPUs of the cores of *kind*."""
        return CpuSet.of(cpu for core in self.cores if core.kind == kind for cpu in core.cpus)

    def to_json(self) -> dict[str, Any]:
        """Give the plain form that `from_json` reads; equal topologies give equal forms."""
        return {
            "nodes": [
                {
                    "id": node.id,
                    "cpus": str(node.cpus),
                    "memory_bytes": node.memory_bytes,
                    "distances": list(node.distances),
                }
                for node in self.nodes
            ],
            "cores": [str(core.cpus) for core in self.cores],
            "packages": [core.package for core in self.cores],
            "kinds": {
                kind: str(cpus)
                for kind in (PERFORMANCE, EFFICIENCY)
                if (cpus := self.cpus_of_kind(kind))
            },
            "online": str(self.online),
            "allowed_cpus": str(self.allowed_cpus),
            "allowed_memory_nodes": str(self.allowed_memory_nodes),
            "isolated": str(self.isolated),
            "cgroup_version": self.cgroup_version,
        }

    @classmethod
    def from_json(cls, data: object, source: str = "topology") -> Self:
        """
        Read the form that `to_json` gives, or a captured file, which has it under ``topology``.

        Args:
            data: as `json.loads` gives it; without `allowed_cpus` every online CPU is allowed,
                without `allowed_memory_nodes` every node with memory; without `kinds`, `isolated`
                and `cgroup_version` nothing is said of them.
            source: what the faults call the data, such as a file's name.

        Raises:
            TopologyError: names every fault with its path in *data*.
        """
        if isinstance(data, Mapping) and "topology" in data:
            data = data["topology"]
        document = Document(source)
        parts = _read_parts(document, data)
        document.refuse_others(data, _KEYS)
        document.raise_faults()
        try:
            return cls(**parts)
        except TopologyError as error:
            raise TopologyError(*(f"{source}: {fault}" for fault in error.faults)) from None


_KEYS = {
    *("nodes", "cores", "packages", "kinds", "online", "allowed_cpus", "allowed_memory_nodes"),
    *("isolated", "cgroup_version"),
}


def _core_order(core: Core) -> int:
    return core.cpus.first if core.cpus else -1


def _read_parts(document: Document, data: object) -> dict[str, Any]:
    nodes, cores = _read_nodes(document, data), _read_cores(document, data)
    online = document.cpus(data, "online")
    with_memory = CpuSet.of(node.id for node in nodes if node.memory_bytes)
    return {
        "nodes": nodes,
        "cores": cores,
        "online": online,
        "allowed_cpus": document.cpus(data, "allowed_cpus", default=online),
        "allowed_memory_nodes": document.cpus(data, "allowed_memory_nodes", default=with_memory),
        "isolated": document.cpus(data, "isolated", default=CpuSet()),
        "cgroup_version": _read_version(document, data),
    }


def _read_nodes(document: Document, data: object) -> tuple[NumaNode, ...]:
    return tuple(
        NumaNode(
            id=document.number(item, "id", at=path),
            cpus=document.cpus(item, "cpus", at=path),
            memory_bytes=document.number(item, "memory_bytes", at=path),
            distances=tuple(document.numbers(item, "distances", at=path)),
        )
        for path, item in document.items(data, "nodes")
        if document.refuse_others(item, {"id", "cpus", "memory_bytes", "distances"}, at=path)
    )


def _read_cores(document: Document, data: object) -> tuple[Core, ...]:
    siblings = [document.cpu_list(text, path) for path, text in document.items(data, "cores")]
    packages = document.numbers(data, "packages", lowest=-1)
    if len(siblings) != len(packages):
        document.fault(
            "packages",
            f"there are {len(packages)} packages for {len(siblings)} cores; "
            "write one package for each core, in the same order",
        )
    kinds = _read_kinds(document, data)
    return tuple(
        Core(cpus, package, kind_of_core(cpus, kinds, lambda text: document.fault("kinds", text)))
        for cpus, package in zip(siblings, packages, strict=False)
    )


def _read_kinds(document: Document, data: object) -> dict[int, str]:
    kinds = data.get("kinds", {}) if isinstance(data, Mapping) else {}
    if not document.refuse_others(kinds, {PERFORMANCE, EFFICIENCY}, at="kinds"):
        return {}
    return {
        cpu: kind
        for kind, text in kinds.items()
        for cpu in document.cpu_list(text, f"kinds.{kind}")
    }


def _read_version(document: Document, data: object) -> int | None:
    version = data.get("cgroup_version") if isinstance(data, Mapping) else None
    if version in (None, 1, 2):
        return version
    document.fault("cgroup_version", f"{version!r} is no version; write 1, 2 or null")
    return None


def _node_faults(host: HostTopology) -> Iterator[str]:
    if not host.nodes:
        yield "the host has no NUMA node; a kernel with NUMA shows at least node 0"
    seen = CpuSet()
    ids: set[int] = set()
    for node in host.nodes:
        if node.id in ids:
            yield f"NUMA node {node.id} is there twice; leave one out"
        ids.add(node.id)
        if node.cpus & seen:
            yield f"CPUs {node.cpus & seen} are in NUMA node {node.id} and in one before it"
        seen |= node.cpus
        if not node.cpus <= host.online:
            yield f"CPUs {node.cpus - host.online} of NUMA node {node.id} are not online"
        if len(node.distances) != len(host.nodes):
            yield (
                f"NUMA node {node.id} has {len(node.distances)} distances, "
                f"but the host has {len(host.nodes)} nodes; there is one distance to each"
            )
    if not host.online <= seen:
        yield f"CPUs {host.online - seen} are online but in no NUMA node"


def _core_faults(host: HostTopology) -> Iterator[str]:
    seen = CpuSet()
    for core in host.cores:
        if not core.cpus:
            yield "a core has no CPU; a core has one or more"
        if core.cpus & seen:
            yield f"CPUs {core.cpus & seen} are in core {core.cpus} and in one before it"
        seen |= core.cpus
        if not core.cpus <= host.online:
            yield f"CPUs {core.cpus - host.online} of core {core.cpus} are not online"
        homes = [node.id for node in host.nodes if node.cpus & core.cpus]
        if len(homes) > 1:
            yield f"core {core.cpus} lies in NUMA nodes {homes}; a core belongs to one"
    if not host.online <= seen:
        yield f"CPUs {host.online - seen} are online but in no core"


def _allowed_faults(host: HostTopology) -> Iterator[str]:
    if not host.allowed_cpus <= host.online:
        yield f"CPUs {host.allowed_cpus - host.online} are allowed but not online"
    if not host.isolated <= host.online:
        yield f"CPUs {host.isolated - host.online} are isolated but not online"
    unknown = host.allowed_memory_nodes - CpuSet.of(node.id for node in host.nodes)
    if unknown:
        yield f"memory nodes {unknown} are allowed but the host has no such NUMA node"
