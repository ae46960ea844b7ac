"""Make a build context appear whole, once per recipe, however often and by whomever it is asked."""

import fcntl
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from images.commands import say
from images.contexts import FILL
from images.recipes import context_dir, recipe_hash


def stage(name: str, root: Path) -> str:
    """
    Make the build context of the recipe *name* at ``.staged/NAME`` under *root*.

    Does nothing when it is there already for the same recipe. Otherwise it is filled beside and
    renamed, so that an interrupted call leaves the earlier context as it was.

    Args:
        name: one of `images.recipes.IMAGES`.
        root: the project's folder.

    Returns:
        One line that says what is there now, with no absolute path in it.

    Raises:
        StageError: what the context is made of could not be had.
    """
    target = root / context_dir(name)
    target.parent.mkdir(exist_ok=True)
    with _only_one(target.parent / f".{name}.lock"):
        stamp = target.parent / f".{name}.stamp"
        key = f"{recipe_hash(name)} {_stager_hash()}"
        if target.is_dir() and stamp.is_file() and stamp.read_text() == key:
            return _result(name, target)
        started = time.monotonic()
        stamp.unlink(missing_ok=True)
        _fill(name, target)
        stamp.write_text(key)
        say(f"staged {name} in {time.monotonic() - started:.1f} s")
        return _result(name, target)


def _fill(name: str, target: Path) -> None:
    for left in target.parent.glob(f".{name}.new-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f".{name}.new-", dir=target.parent) as made:
        filled = Path(made) / "context"
        filled.mkdir()
        FILL[name](filled)
        if target.exists():
            target.rename(Path(made) / "old")
        filled.rename(target)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock file *path*: two steps of one deployment may stage the same recipe."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stager_hash() -> str:
    """Identify the code that fills contexts, so that a change of it stages again."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


def _result(name: str, target: Path) -> str:
    files = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
    size = sum(path.stat().st_size for path in files)
    return (
        f"{name} {recipe_hash(name)} at {context_dir(name).as_posix()}: "
        f"{len(files)} files, {size / 1e6:.0f} MB"
    )
