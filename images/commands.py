"""Run the machine's own package tools, and say in one sentence why one failed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from images.errors import StageError


def say(text: str) -> None:
    """Report progress on stderr, where it cannot be taken for the result."""
    print(text, file=sys.stderr, flush=True)


def cache_dir() -> Path:
    """Say where downloads are kept, so that another clone does not fetch them again."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home) / "ovms-numa" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run(
    argv: Sequence[str | Path],
    *,
    remedy: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """
    Run *argv* and return its standard output.

    Args:
        argv: the program and its arguments; no shell is between.
        remedy: one sentence that says what to do when it fails.
        cwd: the folder to run it in.
        env: variables on top of this process's own.

    Raises:
        StageError: the program is missing or failed; carries its last lines and *remedy*.
    """
    words = [str(word) for word in argv]
    if shutil.which(words[0]) is None:
        raise StageError(f"{words[0]} is not installed here. {remedy}")
    done = subprocess.run(  # noqa: S603 - a fixed program, its arguments made here
        words,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        seen = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise StageError(f"{words[0]} ended with {done.returncode}: {seen}. {remedy}")
    return done.stdout
