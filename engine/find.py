"""A Pulumi engine that the user has installed: the `path` way."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from engine import cache, pins
from engine.errors import EngineError
from engine.value import Engine

_HOST = "pulumi-language-python"
_ANSWER_TIMEOUT_S = 30


class NotThereError(EngineError):
    """The user has no engine, as opposed to one that cannot be used."""


def on_path(environ: Mapping[str, str]) -> Engine:
    """
    Return the engine on PATH.

    Raises:
        EngineError: there is none, it is too old, or it cannot run Python programs.
    """
    path = cache.without_cached(environ.get("PATH", ""), environ)
    found = shutil.which("pulumi", path=path)
    wanted = pins.dotted(pins.PULUMI)
    if found is None:
        raise NotThereError(f"no pulumi on PATH. Install {wanted} or newer, or leave ENGINE unset")
    version = _version(found, environ)
    if version < pins.PULUMI:
        raise EngineError(
            f"{found} is version {pins.dotted(version)}, older than {wanted}. "
            "Upgrade it, or leave ENGINE unset"
        )
    folder = Path(found).parent
    beside = (folder / _HOST, Path(found).resolve().parent / _HOST)
    if not any(one.is_file() for one in beside) and shutil.which(_HOST, path=path) is None:
        raise EngineError(
            f"{found} has no {_HOST} beside it, nor is there one on PATH. "
            "Install Pulumi's whole release, or leave ENGINE unset"
        )
    return Engine(how="path", version=pins.dotted(version), bin=folder, plugins=None)


def _version(pulumi: str, environ: Mapping[str, str]) -> tuple[int, ...]:
    """Ask the CLI for its version, such as v3.259.0 or v3.260.0-dev.1."""
    # The CLI writes a log into its home even for this; the user's home is left alone.
    with tempfile.TemporaryDirectory() as home:
        answer = _ask(pulumi, {**environ, "PULUMI_HOME": home})
    match = re.search(r"^v?(\d+)\.(\d+)\.(\d+)", answer.stdout, re.MULTILINE)
    if match is None:
        said = (answer.stdout + answer.stderr).strip() or "nothing"
        raise EngineError(
            f"{pulumi} version printed {said!r}, not a version. Repair it, or set ENGINE=build"
        )
    return tuple(int(part) for part in match.groups())


def _ask(pulumi: str, environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603 - the user's own pulumi
            [pulumi, "version"],
            env={**environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise EngineError(
            f"{pulumi} does not run: {fault}. Repair it, or set ENGINE=build"
        ) from fault
