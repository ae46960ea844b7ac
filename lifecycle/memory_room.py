"""
How much memory each NUMA node of a host has left, and what a stack's instances have of it.

What is left is estimated as the kernel does for the whole machine (MemAvailable;
Documentation/filesystems/proc.rst, mm/show_mem.c): MemFree, the file cache on its LRU lists
(``Active(file)`` and ``Inactive(file)``, which have no page of shared memory), and SReclaimable. Of
that only half: some of it is in use, and the estimate takes off watermarks that a node's file does
not show.

What an instance holds is the anonymous memory of its control group, by node. The cache of files
that it read is not counted, as it is among what is left.
Sources: Documentation/admin-guide/cgroup-v1/memory.rst (pages) and cgroup-v2.rst (bytes).
"""

import re
from collections.abc import Mapping

from docker.models.containers import Container

from planner.free_memory import Held, HostMemory

_NODES = "sys/devices/system/node/node[0-9]*/meminfo"

_NODE = re.compile(r"sys/devices/system/node/node(\d+)/meminfo")
_LINE = re.compile(r"^Node \d+ (\S+): +(\d+) kB$", re.MULTILINE)
# The part that is left of each, as its divisor.
_LEFT = {"MemFree": 1, "Active(file)": 1, "Inactive(file)": 1, "SReclaimable": 2}
LINES = (*_LEFT, "anon")
"""Texts of the lines that `memory_in` looks at."""
_ANONYMOUS = re.compile(r"^anon(?:=\d+)? (N.*)$", re.MULTILINE)
_V1 = "sys/fs/cgroup/memory/"
# Of the machines that OVMS runs on.
_PAGE_BYTES = 4096


def memory_patterns(instances: Mapping[str, Container]) -> list[str]:
    """Return which files `memory_in` takes, where these *instances* are on the host."""
    running = (one for one in instances.values() if one.status == "running")
    return [_NODES, *(pattern for one in running for pattern in _groups(str(one.id)))]


def memory_in(files: Mapping[str, str], instances: Mapping[str, Container]) -> HostMemory:
    """
    Read the memory of a host as it is now.

    Args:
        files: of the host, those that match `memory_patterns`, by path without a leading slash.
        instances: the stack's instances there, by name.

    Returns:
        What is left and held; nothing of a node whose file does not say.
    """
    running = {name: one for name, one in instances.items() if one.status == "running"}
    held = {name: _held(files, one) for name, one in running.items()}
    return HostMemory(
        free_mib={
            int(match[1]): _left_mib(text)
            for path, text in files.items()
            if (match := _NODE.fullmatch(path)) and "MemFree" in text
        },
        held={name: its for name, its in held.items() if its is not None},
        unread=frozenset(name for name, its in held.items() if its is None),
    )


def _left_mib(meminfo: str) -> int:
    kib = (int(size) // _LEFT[key] for key, size in _LINE.findall(meminfo) if key in _LEFT)
    return sum(kib) >> 10


def _groups(container: str) -> list[str]:
    """
    Return where the control group of a container can be.

    Below the group that Docker is told to use, one deep or two, named by either driver; version 1
    has the controller's name before that.
    """
    names = (container, f"docker-{container}.scope")
    return [
        f"sys/fs/cgroup/{above}/{name}/memory.numa_stat"
        for above in ("*", "*/*", "*/*/*")
        for name in names
    ]


def _held(files: Mapping[str, str], container: Container) -> Held | None:
    path = next((path for path in files if str(container.id) in path), None)
    found = _ANONYMOUS.search(files[path]) if path else None
    if path is None or found is None:
        return None
    unit = _PAGE_BYTES if path.startswith(_V1) else 1
    pairs = (part.partition("=") for part in found[1].split())
    limit = container.attrs["HostConfig"]["Memory"]
    return Held(
        limit_mib=limit >> 20 if limit else None,
        by_node={int(node[1:]): int(size) * unit >> 20 for node, _, size in pairs},
    )
