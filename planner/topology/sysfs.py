"""A host's topology from the text of its sysfs files."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from planner.cpuset import CpuSet
from planner.errors import CpuListError, TopologyError
from planner.topology.kinds import KIND_PATTERNS, kind_of_core, kinds_of_cpus
from planner.topology.model import Core, HostTopology, NumaNode

# What parse_sysfs reads, as glob patterns below a host's root directory. The masks and the
# per-CPU `online` files are what kernels before 2.6.29 have instead of the lists.
SYSFS_PATTERNS = (
    "sys/devices/system/node/online",
    "sys/devices/system/node/node[0-9]*/cpulist",
    "sys/devices/system/node/node[0-9]*/cpumap",
    "sys/devices/system/node/node[0-9]*/meminfo",
    "sys/devices/system/node/node[0-9]*/distance",
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/isolated",
    "sys/devices/system/cpu/cpu[0-9]*/online",
    "sys/devices/system/cpu/cpu[0-9]*/topology/core_cpus_list",
    "sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list",
    "sys/devices/system/cpu/cpu[0-9]*/topology/core_cpus",
    "sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings",
    "sys/devices/system/cpu/cpu[0-9]*/topology/physical_package_id",
    *KIND_PATTERNS,
)

# MemTotal differs by some pages from boot to boot; a recorded plan must not.
_MEMORY_STEP_BYTES = 64 * 1024 * 1024

_ONLINE = "sys/devices/system/cpu/online"
_NODES = "sys/devices/system/node"
_NODE_PATH = re.compile(r"sys/devices/system/node/node(\d+)/.+")
_CPU_PATH = re.compile(r"sys/devices/system/cpu/cpu(\d+)/(?:online|topology/.+)")
_MEM_TOTAL = re.compile(r"^Node\s+(\d+)\s+MemTotal:\s+(\d+)\s+kB\s*$", re.MULTILINE)


def parse_sysfs(files: Mapping[str, str]) -> HostTopology:
    """
    Read a topology from the text of sysfs files.

    Source: the kernel's Documentation/admin-guide/cputopology.rst and
    Documentation/ABI/stable/sysfs-devices-node.

    Args:
        files: the text of the files that match SYSFS_PATTERNS, by path below the root directory
            without a leading slash; and, as ``allowed/cpus`` and ``allowed/mems``, the lists that
            the Docker daemon may give to containers. These may name CPUs and nodes that do not
            exist (the kernel's own masks do); without them all is allowed. And, as
            ``cgroup/version``, the version of the control groups.

    Raises:
        TopologyError: names everything that is missing or contradictory. Nothing is guessed.
    """
    reader = _Reader(files)
    parts = reader.parts()
    if reader.faults or reader.unsaid:
        raise TopologyError(*reader.faults, *reader.unsaid)
    return _topology(parts)


def describe_sysfs(files: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """
    Tell what a captured tree says, even where it does not say all that a plan needs.

    Tools that capture a tree for a purpose of their own leave out files that every kernel shows.

    Args:
        files: as for `parse_sysfs`.

    Returns:
        The form of `HostTopology.to_json`, with None for each memory size, row of distances and
        list of memory nodes, and -1 for each socket, that the tree does not say; and a sentence
        for each file that is missing.

    Raises:
        TopologyError: CPUs, NUMA nodes or cores are not said, or the files contradict each other.
    """
    reader = _Reader(files)
    parts = reader.parts()
    if reader.faults:
        raise TopologyError(*reader.faults, *reader.unsaid)
    unmeasured = (0,) * len(parts.nodes)
    nodes = tuple(replace(node, distances=node.distances or unmeasured) for node in parts.nodes)
    form = _topology(parts._replace(nodes=nodes)).to_json()
    for node in form["nodes"]:
        base = f"{_NODES}/node{node['id']}"
        if f"{base}/meminfo" not in files:
            node["memory_bytes"] = form["allowed_memory_nodes"] = None
        if f"{base}/distance" not in files:
            node["distances"] = None
    return form, tuple(reader.unsaid)


class _Parts(NamedTuple):
    nodes: tuple[NumaNode, ...]
    cores: tuple[Core, ...]
    online: CpuSet
    allowed_cpus: CpuSet
    allowed_memory_nodes: CpuSet
    isolated: CpuSet
    cgroup_version: int | None


def _topology(parts: _Parts) -> HostTopology:
    return HostTopology(**parts._asdict())


class _Reader:
    """
    Reads the files and collects what is missing or cannot be read.

    Attributes:
        faults: what keeps the CPUs, nodes and cores from being known.
        unsaid: what the files do not say of them.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        # Some tools that capture a host's sysfs end the files with a NUL.
        self._files = {path: text.rstrip("\0") for path, text in files.items()}
        self._known = _ids(_CPU_PATH, files)
        self.faults: list[str] = []
        self.unsaid: list[str] = []

    def parts(self) -> _Parts:
        """Read everything."""
        online = self.online_cpus()
        nodes = self.nodes(online)
        cores = self.cores(online)
        with_memory = CpuSet.of(node.id for node in nodes if node.memory_bytes)
        return _Parts(
            nodes=nodes,
            cores=cores,
            online=online,
            allowed_cpus=self.optional_list("allowed/cpus", online) & online,
            allowed_memory_nodes=self.optional_list("allowed/mems", with_memory) & with_memory,
            isolated=self.optional_list("sys/devices/system/cpu/isolated", CpuSet()) & online,
            cgroup_version=int(self._files.get("cgroup/version", "0")) or None,
        )

    def online_cpus(self) -> CpuSet:
        """Read the CPUs that run; without the list, those known whose ``online`` is not 0."""
        if _ONLINE in self._files:
            return self._list(_ONLINE)
        offline = {
            cpu
            for cpu in self._known
            if self._files.get(f"sys/devices/system/cpu/cpu{cpu}/online", "1").strip() == "0"
        }
        online = self._known - CpuSet.of(offline)
        if not online:
            self.faults.append(_missing(_ONLINE, "which CPUs run"))
        return online

    def nodes(self, online: CpuSet) -> tuple[NumaNode, ...]:
        """Read every node that is online; without the list, every one that has a directory."""
        ids = _ids(_NODE_PATH, self._files)
        if not ids:
            self.faults.append(_missing(f"{_NODES}/node*", "which NUMA nodes there are"))
        listed = self.optional_list(f"{_NODES}/online", ids)
        if not listed <= ids:
            self.faults.append(
                f"{_NODES}/online lists the NUMA nodes {listed}, "
                f"but there are directories for {ids or 'none'}"
            )
        return tuple(self._node(node, online) for node in listed & ids)

    def cores(self, online: CpuSet) -> tuple[Core, ...]:
        """Read each core once, through its lowest CPU."""
        before = len(self.faults)
        siblings = {cpu: self._siblings(cpu) & online for cpu in online}
        if len(self.faults) == before:
            self.faults += _one_sided(siblings)
        kinds = kinds_of_cpus(self._files, online, self._list)
        return tuple(
            Core(core, self._package(core), kind_of_core(core, kinds, self.faults.append))
            for cpu, core in siblings.items()
            if cpu == core.first
        )

    def optional_list(self, path: str, default: CpuSet) -> CpuSet:
        """Read the Linux list in *path*; without the file, give *default*."""
        return self._list(path) if path in self._files else default

    def _list(self, path: str) -> CpuSet:
        return self._parsed(path, CpuSet.parse)

    def _node(self, node: int, online: CpuSet) -> NumaNode:
        base = f"{_NODES}/node{node}"
        cpus = self._cpus(f"{base}/cpulist", mask=f"{base}/cpumap", what="which CPUs it has")
        if _ONLINE not in self._files and not cpus <= self._known:
            unknown = cpus - self._known
            self.faults.append(_missing(_ONLINE, f"whether the CPUs {unknown} of {base} run"))
        return NumaNode(
            id=node,
            # Old kernels list offline CPUs here too.
            cpus=cpus & online,
            memory_bytes=self._memory_bytes(node, f"{base}/meminfo"),
            distances=self._distances(f"{base}/distance"),
        )

    def _siblings(self, cpu: int) -> CpuSet:
        base = f"sys/devices/system/cpu/cpu{cpu}/topology"
        # Linux 5.3 gave the files a second name.
        newer = any(f"{base}/{name}" in self._files for name in ("core_cpus_list", "core_cpus"))
        name = "core_cpus" if newer else "thread_siblings"
        cpus = self._cpus(
            f"{base}/{name}_list", mask=f"{base}/{name}", what="which CPUs share its core"
        )
        return cpus | CpuSet.of([cpu])

    def _cpus(self, path: str, *, mask: str, what: str) -> CpuSet:
        if path not in self._files and mask in self._files:
            return self._parsed(mask, CpuSet.parse_mask)
        if path not in self._files:
            self.faults.append(_missing(path, what))
            return CpuSet()
        return self._list(path)

    def _parsed(self, path: str, parse: Callable[[str], CpuSet]) -> CpuSet:
        try:
            return parse(self._files[path])
        except CpuListError as error:
            self.faults.append(f"{path}: {error}")
            return CpuSet()

    def _package(self, core: CpuSet) -> int:
        said = {cpu: number for cpu in core for number in self._package_of_cpu(cpu)}
        if len(set(said.values())) > 1:
            self.faults.append(f"CPUs {core} are one core, but in the sockets {said}")
        return said.get(core.first, -1)

    def _package_of_cpu(self, cpu: int) -> tuple[int, ...]:
        path = f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"
        numbers = self._numbers(path, "which socket it is in")
        if len(numbers) > 1:
            self.faults.append(f"{path}: {self._files[path]!r} is not one number")
        return numbers[:1]

    def _distances(self, path: str) -> tuple[int, ...]:
        return self._numbers(path, "how far each NUMA node's memory is")

    def _numbers(self, path: str, what: str) -> tuple[int, ...]:
        if path not in self._files:
            self.unsaid.append(_missing(path, what))
            return ()
        words = self._files[path].split()
        if not words or not all(re.fullmatch(r"-?[0-9]+", word) for word in words):
            self.faults.append(f"{path}: {self._files[path]!r} is not a row of numbers")
            return ()
        return tuple(int(word) for word in words)

    def _memory_bytes(self, node: int, path: str) -> int:
        if path not in self._files:
            self.unsaid.append(_missing(path, "how much memory it has"))
            return 0
        match = _MEM_TOTAL.search(self._files[path])
        if match is None or int(match[1]) != node:
            self.faults.append(f"{path}: there is no line 'Node {node} MemTotal: … kB'")
            return 0
        return int(match[2]) * 1024 // _MEMORY_STEP_BYTES * _MEMORY_STEP_BYTES


def _one_sided(siblings: Mapping[int, CpuSet]) -> Iterator[str]:
    for cpu, core in siblings.items():
        for other in core:
            if siblings[other] != core:
                yield (
                    f"CPU {cpu} has the siblings {core}, but CPU {other} of them has "
                    f"{siblings[other]}"
                )


def _ids(pattern: re.Pattern[str], files: Mapping[str, str]) -> CpuSet:
    return CpuSet.of(int(match[1]) for path in files if (match := pattern.fullmatch(path)))


def _missing(path: str, what: str) -> str:
    return f"{path} is missing: the kernel does not say {what}"
