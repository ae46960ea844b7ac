"""Which cores are made for speed and which for thrift, where a machine has both."""

import re
from collections.abc import Callable, Iterable, Mapping

from planner.cpuset import CpuSet

# x86 lists the CPUs of each kind with its performance counters (Linux 5.13; `lowpower` 6.12);
# ARM and RISC-V give each CPU its share of the fastest one's capacity, which is 1024.
KIND_PATTERNS = (
    "sys/devices/cpu_core/cpus",
    "sys/devices/cpu_atom/cpus",
    "sys/devices/cpu_lowpower/cpus",
    "sys/devices/system/cpu/cpu[0-9]*/cpu_capacity",
)

PERFORMANCE, EFFICIENCY = "performance", "efficiency"

_COUNTERS = {"cpu_core": PERFORMANCE, "cpu_atom": EFFICIENCY, "cpu_lowpower": EFFICIENCY}
_CAPACITY_PATH = re.compile(r"sys/devices/system/cpu/cpu(\d+)/cpu_capacity")


def kinds_of_cpus(
    files: Mapping[str, str], online: CpuSet, read_list: Callable[[str], CpuSet]
) -> dict[int, str]:
    """
    Tell each online CPU's kind.

    Args:
        files: the text of the files that match KIND_PATTERNS, and others.
        online: the CPUs to tell the kinds of.
        read_list: gives the Linux list in the file of a path.

    Returns:
        "performance" or "efficiency" by CPU; nothing where all are of one kind, or where the
        kernel does not tell them apart. Every CPU with less than the greatest capacity is an
        efficient one.
    """
    listed = {
        cpu: kind
        for name, kind in _COUNTERS.items()
        if f"sys/devices/{name}/cpus" in files
        for cpu in read_list(f"sys/devices/{name}/cpus") & online
    }
    kinds = listed or _by_capacity(files, online)
    return kinds if _differ(kinds.values()) else {}


def kind_of_core(cpus: CpuSet, kinds: Mapping[int, str], note_fault: Callable[[str], None]) -> str:
    """Give the kind of the core of *cpus*, "" where it has none; a core of two kinds is a fault."""
    found = sorted({kinds.get(cpu, "") for cpu in cpus})
    if len(found) > 1:
        note_fault(f"the CPUs {cpus} of one core are of {len(found)} kinds; a core is of one")
    return found[-1] if found else ""


def _by_capacity(files: Mapping[str, str], online: CpuSet) -> dict[int, str]:
    found = ((_CAPACITY_PATH.fullmatch(path), text.strip()) for path, text in files.items())
    capacity = {
        int(match[1]): int(text)
        for match, text in found
        if match and int(match[1]) in online and text.isdecimal()
    }
    greatest = max(capacity.values(), default=0)
    return {cpu: PERFORMANCE if its == greatest else EFFICIENCY for cpu, its in capacity.items()}


def _differ(kinds: Iterable[str]) -> bool:
    return len(set(kinds)) > 1
