"""The folder outside the tree where obtained engines lie, and how one appears in it at once."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from engine.value import say

_UNFINISHED = ".unfinished-"


def folder(environ: Mapping[str, str]) -> Path:
    """
    Return the folder of all engines of this user; it need not exist.

    Source: XDG Base Directory Specification; a relative `XDG_CACHE_HOME` is to be ignored.
    """
    cache = Path(environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        cache = Path(environ.get("HOME") or Path.home()) / ".cache"
    return cache / "ovms-numa" / "engine"


@contextlib.contextmanager
def making(target: Path) -> Iterator[Path | None]:
    """
    Give a folder to fill, which becomes *target* when the block ends without an error.

    One at a time: a second caller waits, and then gets None because *target* is there. What an
    interrupted caller left is removed by the next one. Programs that the caller starts, and that
    inherit its open files, hold the lock too: they may outlive a caller that is killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / ".lock").open("w") as lock:
        _acquire(lock, target.parent)
        os.set_inheritable(lock.fileno(), True)
        if target.exists():
            yield None
            return
        for left in target.parent.glob(_UNFINISHED + "*"):
            shutil.rmtree(left)
        staging = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=target.parent))
        try:
            yield staging
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _acquire(lock: IO[str], filled: Path) -> None:
    """Wait for the lock, which the kernel releases when its holder ends, however it ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another call is filling {filled}: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)


def without_cached(path: str, environ: Mapping[str, str]) -> str:
    """Return a PATH without the folders that lie in this cache, in the same order."""
    cached = str(folder(environ)) + os.sep
    return os.pathsep.join(
        entry for entry in path.split(os.pathsep) if not entry.startswith(cached)
    )
