"""The official Pulumi release, checked against the release's own checksums: the `download` way."""

import hashlib
import http.client
import platform
import queue
import shutil
import tarfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from engine import cache, pins
from engine.errors import EngineError
from engine.value import Engine, say

_ARCHITECTURES = {"x86_64": "x64", "aarch64": "arm64"}
_REACH_S = 5
"""In this time the release must have shown its checksums: a name lookup alone may take longer."""
_STALL_S = 30
_CHUNK_BYTES = 1 << 20
_SAY_EVERY_S = 10
_BASE_VARIABLE = "ENGINE_DOWNLOAD_URL"


class UnreachableError(EngineError):
    """The release cannot be had from here; another way may do."""


def cached(environ: Mapping[str, str]) -> Engine | None:
    """Return the engine downloaded earlier."""
    try:
        target = _target(environ)
    except UnreachableError:
        return None
    return _engine(target) if target.is_dir() else None


def obtain(environ: Mapping[str, str], *, base: str | None = None) -> Engine:
    """
    Return the official release, downloaded unless it is there.

    Args:
        environ: the environment; `ENGINE_DOWNLOAD_URL` names another place with the same files.
        base: that place, for tests.

    Raises:
        UnreachableError: the place does not answer in time or has no such release.
        EngineError: the archive is cut off or has another checksum.
    """
    target = _target(environ)
    if target.is_dir():
        return _engine(target)
    url = base or environ.get(_BASE_VARIABLE) or pins.RELEASES
    expected = _expected(url, _archive())
    with cache.making(target) as staging:
        if staging is not None:
            archive = staging / _archive()
            _fetch(f"{url}/{_archive()}", archive)
            _check(archive, expected)
            _unpack(archive, staging / "bin")
            archive.unlink()
            (staging / "plugins").mkdir()
    return _engine(target)


def _target(environ: Mapping[str, str]) -> Path:
    return cache.folder(environ) / _archive().removesuffix(".tar.gz")


def _engine(target: Path) -> Engine:
    return Engine(
        how="download",
        version=pins.dotted(pins.PULUMI),
        bin=target / "bin",
        plugins=target / "plugins",
    )


def _archive() -> str:
    """Name the release's archive for this machine."""
    machine = platform.machine()
    architecture = _ARCHITECTURES.get(machine)
    if platform.system() != "Linux" or architecture is None:
        raise UnreachableError(
            f"no release is known for {platform.system()} on {machine}. "
            f"Install Pulumi {pins.dotted(pins.PULUMI)} and put it on PATH"
        )
    return f"pulumi-v{pins.dotted(pins.PULUMI)}-linux-{architecture}.tar.gz"


def _expected(base: str, archive: str) -> str:
    """Read the archive's SHA-256 from the release's list; lines are `<hex>  <file>`."""
    url = f"{base}/pulumi-{pins.dotted(pins.PULUMI)}-checksums.txt"
    for line in _within(_REACH_S, url).splitlines():
        checksum, _, name = line.partition(" ")
        if name.strip().lstrip("*") == archive:
            return checksum.lower()
    raise EngineError(f"{url} has no line for {archive}. Set ENGINE=build")


def _within(seconds: float, url: str) -> str:
    """Read a small text, or give up: no time-out of a socket covers the look-up of its name."""
    answers: queue.Queue[str | Exception] = queue.Queue()

    def read() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:  # noqa: S310 - pinned
                answers.put(reply.read().decode())
        except (OSError, http.client.HTTPException, ValueError) as fault:
            answers.put(fault)

    threading.Thread(target=read, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        answer = TimeoutError(f"no answer in {seconds} s")
    if isinstance(answer, Exception):
        raise UnreachableError(
            f"the Pulumi release cannot be reached at {url}: {answer}. "
            "Set ENGINE=build to build it from Go modules"
        ) from answer
    return answer


def _fetch(url: str, archive: Path) -> None:
    say(f"downloading {url}")
    try:
        with urllib.request.urlopen(url, timeout=_STALL_S) as reply, archive.open("wb") as file:  # noqa: S310
            _copy(reply, file, int(reply.headers.get("Content-Length") or 0))
    except (OSError, http.client.HTTPException) as fault:
        raise EngineError(
            f"the download of {url} broke off: {fault}. Run it again, or set ENGINE=build"
        ) from fault


def _copy(reply: IO[bytes], file: IO[bytes], size: int) -> None:
    """
    Copy with progress.

    Raises:
        OSError: the reply ended before its announced size, in bytes.
    """
    copied, said = 0, time.monotonic()
    while chunk := reply.read(_CHUNK_BYTES):
        copied += file.write(chunk)
        if time.monotonic() - said > _SAY_EVERY_S:
            said = time.monotonic()
            say(f"{copied >> 20} of {size >> 20} MiB")
    if copied < size:
        raise OSError(f"{copied} of {size} bytes came")


def _check(archive: Path, expected: str) -> None:
    with archive.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if seen != expected:
        raise EngineError(
            f"{archive.name} has SHA-256 {seen}, but its release says {expected}. "
            "It is not used; find out who answers for the download, or set ENGINE=build"
        )


def _unpack(archive: Path, target: Path) -> None:
    """Take every file of the archive by its last name: the programs lie side by side in it."""
    target.mkdir()
    with tarfile.open(archive) as members:
        for member in members:
            content = members.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            program = target / PurePosixPath(member.name).name
            with program.open("wb") as file:
                shutil.copyfileobj(content, file)
            program.chmod(0o755)
