"""Reading plain JSON values with a path for every fault."""

from collections.abc import Iterator, Mapping

from planner.cpuset import CpuSet
from planner.errors import CpuListError, TopologyError


class Document:
    """
    Reads values out of parsed JSON and collects what is wrong, so that all is told at once.

    Every reader returns a harmless value where it found a fault; `raise_faults` ends the reading.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._faults: list[str] = []

    def fault(self, path: str, text: str) -> None:
        """Note what is wrong at *path*."""
        self._faults.append(f"{self._source}: {path}: {text}")

    def raise_faults(self) -> None:
        """Raise a TopologyError with every fault noted, if there is one."""
        if self._faults:
            raise TopologyError(*self._faults)

    def items(self, data: object, key: str) -> Iterator[tuple[str, object]]:
        """Yield path and value of each item of the list under *key*."""
        return ((f"{key}[{index}]", item) for index, item in enumerate(self._list(data, key, "")))

    def number(self, data: object, key: str, *, at: str = "") -> int:
        """Read a whole number of 0 or more."""
        return self._whole(_get(data, key), _join(at, key), 0)

    def numbers(self, data: object, key: str, *, at: str = "", lowest: int = 0) -> list[int]:
        """Read a list of whole numbers of *lowest* or more."""
        path = _join(at, key)
        return [
            self._whole(item, f"{path}[{index}]", lowest)
            for index, item in enumerate(self._list(data, key, at))
        ]

    def cpus(
        self, data: object, key: str, *, at: str = "", default: CpuSet | None = None
    ) -> CpuSet:
        """Read a Linux list; with a *default*, the key may be left out."""
        if default is not None and isinstance(data, Mapping) and key not in data:
            return default
        return self.cpu_list(_get(data, key), _join(at, key))

    def cpu_list(self, value: object, path: str) -> CpuSet:
        """Read the Linux list *value*."""
        if not isinstance(value, str):
            self.fault(path, f"{value!r} is not text; write a Linux list such as '0-3,8'")
            return CpuSet()
        try:
            return CpuSet.parse(value)
        except CpuListError as error:
            self.fault(path, str(error))
            return CpuSet()

    def refuse_others(self, data: object, known: set[str], *, at: str = "") -> bool:
        """Note every key of *data* that is not *known*; True where *data* is a mapping."""
        if not isinstance(data, Mapping):
            self.fault(at or "(top)", f"{data!r} is not an object; write one with {sorted(known)}")
            return False
        for key in data:
            if key not in known:
                self.fault(_join(at, str(key)), f"unknown key; the keys are {sorted(known)}")
        return True

    def _whole(self, value: object, path: str, lowest: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= lowest:
            return value
        self.fault(path, f"{value!r} is not a whole number of {lowest} or more; write one")
        return lowest

    def _list(self, data: object, key: str, at: str) -> list[object]:
        value = _get(data, key)
        if isinstance(value, list):
            return value
        self.fault(_join(at, key), f"{value!r} is not a list; write [...]")
        return []


def _get(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, Mapping) else None


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
