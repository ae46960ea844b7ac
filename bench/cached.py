"""
``python3 cached.py FILE…``: how much of each file is in the page cache, by NUMA node.

Prints JSON: for each file bytes by node. Runs as text inside containers too, so it needs nothing
but the standard library. mincore(2) says which pages are there, only those are touched, so that
nothing is read from a disk, and numa_maps (numa(7)) then says where they lie.
"""

import ctypes
import json
import mmap
import re
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_FAILED = ctypes.c_void_p(-1).value


def cached(path: Path) -> dict[str, int]:
    """
    Return the bytes of the file at *path* that are in the page cache, by NUMA node.

    Raises:
        OSError: the file cannot be read or mapped.
    """
    size = path.stat().st_size
    if size == 0:
        return {}
    with path.open("rb") as file:
        address = _LIBC.mmap(
            None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0
        )
    if address == _FAILED:
        raise OSError(ctypes.get_errno(), f"{path} cannot be mapped")
    try:
        _touch_what_is_there(address, size)
        return _by_node(address)
    finally:
        _LIBC.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


def _touch_what_is_there(address: int, size: int) -> None:
    pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    there = (ctypes.c_ubyte * pages)()
    if _LIBC.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), there):
        raise OSError(ctypes.get_errno(), "mincore")
    for page in range(pages):
        if there[page] & 1:
            ctypes.string_at(address + page * mmap.PAGESIZE, 1)


def _by_node(address: int) -> dict[str, int]:
    lines = Path("/proc/self/numa_maps").read_text().splitlines()
    line = next(line for line in lines if int(line.split(" ", 1)[0], 16) == address)
    # Page cache is mapped in pages of the ordinary size, also where it is kept in larger ones.
    found = re.findall(r" N(\d+)=(\d+)", line)
    return {node: int(pages) * mmap.PAGESIZE for node, pages in found}


if __name__ == "__main__":
    json.dump({path: cached(Path(path)) for path in sys.argv[1:]}, sys.stdout)
