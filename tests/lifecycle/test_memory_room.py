"""The memory of a host as it is now, read from the files of both versions of control groups."""

from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import pytest

from lifecycle.memory_room import LINES, memory_in, memory_patterns
from planner.free_memory import Held, HostMemory

MEMINFO = """\
Node {node} MemTotal:       14117076 kB
Node {node} MemFree:         7267680 kB
Node {node} MemUsed:         6849396 kB
Node {node} Active:          2000000 kB
Node {node} Active(anon):     708712 kB
Node {node} Active(file):    1291288 kB
Node {node} Inactive(file):  2744256 kB
Node {node} FilePages:       4044576 kB
Node {node} Shmem:              9048 kB
Node {node} SReclaimable:    1555588 kB
"""
ID = "e1f0" * 16
# What Linux 6.18 (version 1, in pages) and a host with version 2 (in bytes) show of a container.
V1 = "total=61345 N0=61345\nfile=706 N0=706\nanon=60639 N0=60128 N1=511\nunevictable=0 N0=0\n"
V2 = "anon N0=246284288 N1=2093056\nfile N0=2891776 N1=0\nanon_thp N0=0 N1=0\n"


@dataclass(kw_only=True)
class Instance:
    status: str = "running"
    memory: int = 0
    id: str = ID
    attrs: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.attrs = {"HostConfig": {"Memory": self.memory}}


def memory(files: dict[str, str], instance: Instance | None = None) -> HostMemory:
    """As it is read: matching files, and of these the lines with the texts that are asked for."""
    instances: Any = {} if instance is None else {"one": instance}
    patterns = memory_patterns(instances)
    # A pattern's star goes over no slash, as a shell's does not.
    matching = (
        path
        for path in files
        if any(path.count("/") == its.count("/") and fnmatch(path, its) for its in patterns)
    )
    return memory_in({path: _lines(files[path]) for path in matching}, instances)


def _lines(text: str) -> str:
    return "".join(
        line for line in text.splitlines(keepends=True) if any(its in line for its in LINES)
    )


def nodes(*numbers: int) -> dict[str, str]:
    base = "sys/devices/system/node"
    return {f"{base}/node{one}/meminfo": MEMINFO.format(node=one) for one in numbers}


def test_left_is_what_is_free_and_the_file_cache_that_can_be_taken_back() -> None:
    left = (7267680 + 1291288 + 2744256 + 1555588 // 2) // 1024

    assert memory(nodes(0, 12)).free_mib == {0: left, 12: left}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"sys/fs/cgroup/memory/docker/{ID}/memory.numa_stat", V1),
        (f"sys/fs/cgroup/memory/system.slice/docker-{ID}.scope/memory.numa_stat", V1),
        (f"sys/fs/cgroup/system.slice/docker-{ID}.scope/memory.numa_stat", V2),
        (f"sys/fs/cgroup/docker/{ID}/memory.numa_stat", V2),
        (f"sys/fs/cgroup/machine.slice/ovms.slice/docker-{ID}.scope/memory.numa_stat", V2),
    ],
)
def test_an_instance_holds_its_anonymous_memory_by_node(path: str, text: str) -> None:
    found = memory(nodes(0, 1) | {path: text}, Instance(memory=1792 << 20))

    assert found.held == {"one": Held(limit_mib=1792, by_node={0: 234, 1: 1})}
    assert not found.unread


def test_an_instance_without_a_limit_has_none() -> None:
    found = memory({f"sys/fs/cgroup/docker/{ID}/memory.numa_stat": V2}, Instance())

    assert found.held["one"].limit_mib is None


def test_an_instance_that_does_not_run_holds_nothing() -> None:
    found = memory(nodes(0), Instance(status="exited"))

    assert not found.held
    assert not found.unread


@pytest.mark.parametrize("text", [None, "", "total=1 N0=1\n"])
def test_an_instance_whose_group_shows_nothing_is_named(text: str | None) -> None:
    """A kernel without NUMA has no such file."""
    path = f"sys/fs/cgroup/docker/{ID}/memory.numa_stat"
    found = memory(nodes(0) | ({} if text is None else {path: text}), Instance())

    assert not found.held
    assert found.unread == {"one"}
