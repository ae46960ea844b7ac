"""Sets of CPU ids, and their one text form."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from planner.errors import CpuListError

# The largest CONFIG_NR_CPUS that the kernel's Kconfig files offer is 8192 (x86 with MAXSMP).
HIGHEST_ID = 8191

_ITEM = re.compile(r"(?P<first>[0-9]+)(?:-(?P<last>[0-9]+))?")
_MASK = re.compile(r"[0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})*")


@dataclass(frozen=True, slots=True)
class CpuSet:
    """
    An immutable set of CPU ids; memory nodes, which Linux lists alike, use it too.

    Iteration is in ascending order. `str()` is the canonical list format of cpuset(7): ascending,
    disjoint ranges, no stride, "" for none. It is the only list form that Docker takes.
    """

    ids: frozenset[int] = frozenset()

    @classmethod
    def of(cls, ids: Iterable[int]) -> Self:
        """Make a set of *ids*, in any order."""
        return cls(frozenset(ids))

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read the list format of cpuset(7) without strides, such as ``0-3,8``.

        Args:
            text: items in any order, which may overlap; white space around items (the newline
                of a sysfs file) is ignored; nothing but white space is the empty set.

        Raises:
            CpuListError: the text is not such a list.
        """
        if not text.strip():
            return cls()
        items = (_parse_item(item.strip(), text.strip()) for item in text.split(","))
        return cls(frozenset().union(*items))

    @classmethod
    def parse_mask(cls, text: str) -> Self:
        """
        Read the mask format of cpuset(7), such as ``00000001,000000ff``.

        Args:
            text: hexadecimal words of 32 CPUs each, the highest first.

        Raises:
            CpuListError: the text is not such a mask.
        """
        mask = text.strip()
        if not _MASK.fullmatch(mask):
            raise CpuListError(
                f"CPU mask {mask!r}: not hexadecimal words of eight digits joined by commas; "
                "write it as cpuset(7) shows under 'Mask format'"
            )
        bits = int(mask.replace(",", ""), 16)
        return cls.of(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)

    @property
    def first(self) -> int:
        """The lowest id; an empty set has none (ValueError)."""
        return min(self.ids)

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}-{last}" for first, last in self._ranges()
        )

    def __repr__(self) -> str:
        return f"CpuSet({str(self)!r})"

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.ids))

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, cpu: object) -> bool:
        return cpu in self.ids

    def __or__(self, other: Self) -> Self:
        return type(self)(self.ids | other.ids)

    def __and__(self, other: Self) -> Self:
        return type(self)(self.ids & other.ids)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.ids - other.ids)

    def __le__(self, other: Self) -> bool:
        return self.ids <= other.ids

    def _ranges(self) -> Iterator[tuple[int, int]]:
        ascending = sorted(self.ids)
        starts = [cpu for cpu in ascending if cpu - 1 not in self.ids]
        ends = [cpu for cpu in ascending if cpu + 1 not in self.ids]
        return zip(starts, ends, strict=True)


def _parse_item(item: str, text: str) -> frozenset[int]:
    """Read one id or one range of *text*."""
    match = _ITEM.fullmatch(item)
    if match is None:
        raise CpuListError(f"CPU list {text!r}: {_why_not(item)}")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if max(first, last) > HIGHEST_ID:
        raise CpuListError(
            f"CPU list {text!r}: {item!r} goes above {HIGHEST_ID}, the highest number that Linux "
            "gives a CPU; write numbers as /sys/devices/system/cpu/online has them"
        )
    if first > last:
        raise CpuListError(f"CPU list {text!r}: {item!r} runs backwards; write {last}-{first}")
    return frozenset(range(first, last + 1))


def _why_not(item: str) -> str:
    """Say what keeps *item* from being an id or a range, and what to write."""
    if not item:
        return "an item between commas is empty; leave the extra comma out"
    if ":" in item:
        return f"{item!r} has a stride; Docker takes no stride; write the CPUs out"
    if item.startswith("-"):
        return f"{item!r} is negative; numbers start at 0"
    return f"{item!r} is neither a number nor a range; write items such as 4 or 0-3"
