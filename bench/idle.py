"""How much of the CPUs is idle: whether a machine is quiet enough to measure on."""

import time
from pathlib import Path

_STAT = Path("/proc/stat")


def idle_share(seconds: float) -> float:
    """Watch the CPUs for so many *seconds*; return the share of them that was idle, 0 to 1."""
    before = _STAT.read_text()
    time.sleep(seconds)
    return idle_between(before, _STAT.read_text())


def idle_between(before: str, after: str) -> float:
    """
    Return the share of the CPUs' time that was idle between two readings of ``/proc/stat``.

    Source: proc_stat(5); the fourth number of the line ``cpu`` is idle time, the fifth is waiting
    for disks, which is idle too; the ninth and tenth are in the first two already.
    """
    spent = [now - then for then, now in zip(_times(before), _times(after), strict=True)]
    return (spent[3] + spent[4]) / sum(spent)


def _times(stat: str) -> list[int]:
    return [int(field) for field in stat.splitlines()[0].split()[1:9]]
