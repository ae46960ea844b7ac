"""
Where a server's memory lies: its pages by NUMA node.

Read from ``/proc/PID/numa_maps`` inside the container as the server's user, for whom alone (and
root) the kernel shows it. Source: numa(7); the kernel's ``show_numa_map`` in fs/proc/task_mmu.c,
which counts pages of the size that each line ends with, huge pages too. Swapped pages and memory
of the kernel itself are not in it.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from docker.models.containers import Container

from lifecycle import docker_host
from planner.cpuset import CpuSet
from planner.server import MODELS_MOUNT

NOT_MEASURED = "not measured"
_KIB, _MIB = 1 << 10, 1 << 20
# Files without a disk behind them: shared memory, and the huge pages of no file.
_MEMORY_FILES = ("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV", "/anon_hugepage")  # noqa: S108
# Its own tells a kernel that has none from a process that has ended.
# A process that the server started may end meanwhile.
_READ = """\
if [ -e /proc/self/numa_maps ]
then cat {maps} && {{ cat /dev/null {children} 2>/dev/null || true; }}
else echo none
fi"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """
    Memory of a server's processes by NUMA node, in bytes; a node without has no entry.

    Attributes:
        anonymous: heap, stacks, private copies of files' pages, shared memory: compiled weights,
            the KV cache, and weights of the server's own.
        model: of the models' files, what is mapped and in the page cache.
        libraries: of all other files, what is mapped and in the page cache.
    """

    anonymous: Mapping[int, int]
    model: Mapping[int, int]
    libraries: Mapping[int, int]

    def local_share(self, nodes: CpuSet) -> float:
        """Return which part of the anonymous memory lies on *nodes*, 0 to 1."""
        local = sum(self.anonymous.get(node, 0) for node in nodes)
        return local / sum(self.anonymous.values())

    def in_mib(self) -> dict[str, dict[str, int]]:
        """Return MiB by kind and node as plain data, without what rounds to none."""
        kinds = {"anonymous": self.anonymous, "model": self.model, "libraries": self.libraries}
        return {kind: _in_mib(by_node) for kind, by_node in kinds.items()}


def _in_mib(by_node: Mapping[int, int]) -> dict[str, int]:
    rounded = {str(node): round(its / _MIB) for node, its in sorted(by_node.items())}
    return {node: its for node, its in rounded.items() if its}


def rounded(share: float) -> float:
    """Round a share down to a tenth of a per cent, so that 1 means all but for that."""
    return math.floor(share * 1000) / 1000


def in_percent(share: float) -> str:
    """Write a share as per cent, rounded down to a tenth."""
    return f"{math.floor(share * 1000) / 10:g}%"


def home_share(found: Pages | None, instance: str, memory_nodes: str | None) -> float | None:
    """
    Return which part of an instance's anonymous memory lies where it belongs.

    Args:
        found: its pages; None: not measured.
        instance: its name, HOST-nodeN-ORDINAL or HOST-socketN-ORDINAL.
        memory_nodes: the Linux list that it is bound to; None: it is not, and the node in its name
            is meant. A socket's name does not say its nodes, and nothing is told then.
    """
    unit = instance.rsplit("-", 2)[1]
    home = memory_nodes or unit.removeprefix("node")
    if found is None or not home[0].isdigit():
        return None
    return found.local_share(CpuSet.parse(home))


def read(
    container: Container, pids: Collection[int], children: Collection[int] = ()
) -> Pages | None:
    """
    Read the pages of the processes *pids* of *container* and of their *children*, added up.

    Returns:
        None where the kernel does not tell: it was built without NUMA, or is older than 3.18.

    Raises:
        CommandError: it tells, but not this user, or the process has ended.
    """
    maps, theirs = (" ".join(f"/proc/{pid}/numa_maps" for pid in of) for of in (pids, children))
    text = docker_host.run(container, "sh", "-c", _READ.format(maps=maps, children=theirs))
    if not text:
        raise docker_host.CommandError(f"process {min(pids)} shows no memory")
    # A kernel before 3.18 counts pages and does not say how large they are.
    return parse_numa_maps(text) if "kernelpagesize_kB" in text else None


def parse_numa_maps(text: str, models: str = MODELS_MOUNT) -> Pages:
    """
    Add up the text of any number of ``numa_maps``.

    Args:
        text: lines such as ``7f12a000 default file=/lib/x.so mapped=2 N0=2 kernelpagesize_kB=4``.
        models: where the models' files are mounted.
    """
    kinds: dict[str, Counter[int]] = {
        kind: Counter() for kind in ("anonymous", "model", "libraries")
    }
    for line in text.splitlines():
        fields = dict(word.partition("=")[::2] for word in line.split())
        counts = dict(_counts(fields))
        if not counts:
            continue
        kind = _kind(fields, sum(counts.values()), models)
        for node, pages in counts.items():
            kinds[kind][node] += pages * int(fields["kernelpagesize_kB"]) * _KIB
    return Pages(**kinds)


def _counts(fields: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Yield node and pages of each field such as ``N0=12``."""
    for name, value in fields.items():
        if name.startswith("N") and name[1:].isdigit():
            yield int(name[1:]), int(value)


def _kind(fields: Mapping[str, str], pages: int, models: str) -> str:
    """
    Tell what a line of so many *pages* counts.

    A mapping of which some pages are private copies and others the file's counts by its file: the
    kernel does not say which of them lie where. Without either it is the kernel's code (vDSO).
    """
    file = fields.get("file", "")
    if int(fields.get("anon", 0)) == pages or file.startswith(_MEMORY_FILES):
        return "anonymous"
    return "model" if file.startswith(f"{models}/") else "libraries"
