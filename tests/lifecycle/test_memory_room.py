"""The memory of a host as it is now, read from the files of both versions of control groups."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

import pytest

from lifecycle.memory_room import read_memory
from planner.free_memory import Held

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


class Files(dict[str, str]):
    """The files of a host; a pattern's star goes over no slash, as a shell's does not."""

    def read(self, patterns: Sequence[str]) -> dict[str, str]:
        return {
            path: text
            for path, text in self.items()
            if any(
                path.count("/") == pattern.count("/") and fnmatch(path, pattern)
                for pattern in patterns
            )
        }


def nodes(*numbers: int) -> Files:
    base = "sys/devices/system/node"
    return Files({f"{base}/node{one}/meminfo": MEMINFO.format(node=one) for one in numbers})


def test_left_is_what_is_free_and_the_file_cache_that_can_be_taken_back() -> None:
    left = (7267680 + 1291288 + 2744256 + 1555588 // 2) // 1024

    assert read_memory(nodes(0, 12).read, {}).free_mib == {0: left, 12: left}


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
    files = Files(nodes(0, 1) | {path: text})

    found = read_memory(files.read, {"one": Instance(memory=1792 << 20)})  # type: ignore[dict-item]

    assert found.held == {"one": Held(limit_mib=1792, by_node={0: 234, 1: 1})}
    assert not found.unread


def test_an_instance_without_a_limit_has_none() -> None:
    files = Files({f"sys/fs/cgroup/docker/{ID}/memory.numa_stat": V2})

    found = read_memory(files.read, {"one": Instance()})  # type: ignore[dict-item]

    assert found.held["one"].limit_mib is None


def test_an_instance_that_does_not_run_holds_nothing() -> None:
    found = read_memory(nodes(0).read, {"one": Instance(status="exited")})  # type: ignore[dict-item]

    assert not found.held
    assert not found.unread


@pytest.mark.parametrize("text", [None, "", "total=1 N0=1\n"])
def test_an_instance_whose_group_shows_nothing_is_named(text: str | None) -> None:
    """A kernel without NUMA has no such file."""
    path = f"sys/fs/cgroup/docker/{ID}/memory.numa_stat"
    files = Files(nodes(0) | ({} if text is None else {path: text}))

    found = read_memory(files.read, {"one": Instance()})  # type: ignore[dict-item]

    assert not found.held
    assert found.unread == {"one"}
