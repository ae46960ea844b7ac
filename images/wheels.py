"""Fetch wheels for an image's Python, verified by the recipe's lock file, and unpack them."""

import hashlib
import shutil
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from images.commands import cache_dir, run, say
from images.errors import StageError


def fetch(requirements: Path, *, python: str | None, platforms: Sequence[str]) -> tuple[Path, ...]:
    """
    Fetch the wheels that *requirements* pins, from the index that pip is set up with.

    They stay in the cache, in a folder of this lock file's own; pip checks each hash there too.

    Args:
        requirements: a lock file with hashes.
        python: the version of the image's Python, as ``3.13``; None where any will do.
        platforms: the wheel platforms that run in the image; empty where any will do.

    Returns:
        The wheels, sorted by name.

    Raises:
        StageError: pip failed: no index, a missing file or another hash than the lock file's.
    """
    folder = cache_dir() / "wheels" / f"{requirements.parent.name}-{_key(requirements)}"
    complete = folder / ".complete"
    if not complete.exists():
        say(f"fetching the wheels of {requirements.parent.name}")
        folder.mkdir(parents=True, exist_ok=True)
        run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
             "--only-binary=:all:", "--dest", folder, *_target(python, platforms),
             "--requirement", requirements],
            remedy="Look at the index that pip is set up with (pip config list); run it again.",
        )  # fmt: skip
        complete.touch()
    return tuple(sorted(folder.glob("*.whl")))


def unpack(wheels: Iterable[Path], folder: Path, *, leave_out: Sequence[str]) -> None:
    """
    Unpack *wheels* into *folder*, as pip would with ``--target``.

    pip itself is not used: older ones refuse a wheel for a Python newer than their own.

    Args:
        wheels: files that were verified.
        folder: made here.
        leave_out: patterns, relative to *folder*, of what is dropped afterwards.

    Raises:
        StageError: a wheel has files that belong outside the library folder, or a pattern
            matches nothing (the recipe is out of date).
    """
    folder.mkdir(parents=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            outside = [n for n in archive.namelist() if n.split("/")[0].endswith(".data")]
            if outside:
                raise StageError(
                    f"{wheel.name} wants {outside[0]} outside the library folder. "
                    "Pin a version in requirements.in that does not."
                )
            archive.extractall(folder)
    for pattern in leave_out:
        _drop(folder, pattern)


def _drop(folder: Path, pattern: str) -> None:
    found = list(folder.glob(pattern))
    if not found:
        raise StageError(
            f"leave-out {pattern!r} matches nothing in the wheels. "
            "Take it out of images/devserver/recipe.toml, or correct it."
        )
    for path in found:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _target(python: str | None, platforms: Sequence[str]) -> list[str]:
    words = [f"--platform={platform}" for platform in platforms]
    if python:
        abi = "cp" + python.replace(".", "")
        words += [f"--python-version={python}", "--implementation=cp", f"--abi={abi}"]
    return words


def _key(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
