"""The engine built from Go modules: the `build` way, for machines that reach only a Go proxy."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from engine import cache, pins
from engine.errors import EngineError
from engine.progress import Progress
from engine.value import Engine, say

_HERE = Path(__file__).parent
_GO_FOLDER = "/usr/local/go/bin"
"""Where Go's own archive is unpacked to; not on everyone's PATH."""
_VERSION = f"v{pins.dotted(pins.PULUMI)}"
_SDK = "github.com/pulumi/pulumi/sdk/v3"
_SCRIPTS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Scripts of the SDK's module that the language host and the CLI look for beside themselves."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    One program to build.

    Attributes:
        module: its Go module's folder here.
        package: the Go package in it, or that it requires.
        target: where the program goes, below the engine's folder.
        tags: Go build tags.
    """

    module: str
    package: str
    target: str
    tags: str = ""


PARTS = (
    Part(
        module="cli",
        package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        target="bin/pulumi",
        tags="osusergo,grpcnotrace",
    ),
    Part(module="language", package=".", target="bin/pulumi-language-python"),
    Part(
        module="docker",
        package=".",
        target=f"plugins/resource-docker-v{pins.DOCKER_PLUGIN}/pulumi-resource-docker",
        tags="osusergo,no_compose",
    ),
    Part(
        module="command",
        package=".",
        target=f"plugins/resource-command-v{pins.COMMAND_PLUGIN}/pulumi-resource-command",
    ),
)

Make = Callable[[Path, str, Mapping[str, str]], None]
"""Fills a folder with an engine, given the Go program and the environment."""


def cached(environ: Mapping[str, str]) -> Engine | None:
    """Return the engine built earlier from the same sources by the same Go."""
    try:
        target = _target(environ, go_program(environ))
    except EngineError:
        return None
    return _engine(target) if target.is_dir() else None


def obtain(environ: Mapping[str, str], *, make: Make | None = None) -> Engine:
    """
    Return the engine built from Go modules, built now unless it is there.

    Args:
        environ: the environment, with PATH, HOME, and Go's own variables.
        make: what builds it, for tests.

    Raises:
        EngineError: Go is missing or too old, or a build failed.
    """
    go = go_program(environ)
    target = _target(environ, go)
    if not target.is_dir():
        with cache.making(target) as staging:
            if staging is not None:
                (make or _make)(staging, go, environ)
    return _engine(target)


def go_program(environ: Mapping[str, str]) -> str:
    """Find Go on PATH, or where Go's own installer puts it."""
    path = os.pathsep.join((environ.get("PATH", ""), _GO_FOLDER))
    go = shutil.which("go", path=path)
    wanted = pins.dotted(pins.GO)
    if go is None:
        raise EngineError(
            f"Go is not on PATH nor in /usr/local/go, and the engine is built from Go modules. "
            f"Install Go {wanted} or newer, or Pulumi {pins.dotted(pins.PULUMI)} itself"
        )
    version = _go_version(go, environ)
    match = re.search(r"\bgo(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None or tuple(int(part or 0) for part in match.groups()) < pins.GO:
        raise EngineError(
            f"{go} says {version!r}, older than {wanted}, which Pulumi's modules need. "
            f"Install Go {wanted} or newer, or Pulumi {pins.dotted(pins.PULUMI)} itself"
        )
    return go


def _go_version(go: str, environ: Mapping[str, str]) -> str:
    answer = subprocess.run(  # noqa: S603 - the operator's own Go
        [go, "version"],
        env=_go_environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return (answer.stdout or answer.stderr).strip()


def _go_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Build programs that need no C library, from this tree's go.sum and with this Go alone."""
    return {**environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def _target(environ: Mapping[str, str], go: str) -> Path:
    """Name the engine's folder by everything that its content depends on."""
    digest = hashlib.sha256(_go_version(go, environ).encode())
    for source in sorted(_sources()):
        digest.update(f"\0{source.relative_to(_HERE)}\0".encode())
        digest.update(source.read_bytes())
    return cache.folder(environ) / digest.hexdigest()[:32]


def _sources() -> list[Path]:
    modules = {part.module for part in PARTS}
    patterns = ("*.go", "go.mod", "go.sum", "*.json")
    files = [
        file
        for module in modules
        for pattern in patterns
        for file in (_HERE / module).rglob(pattern)
        if not file.name.endswith("_test.go")
    ]
    return [*files, _HERE / "pins.py", _HERE / "build.py"]


def _engine(target: Path) -> Engine:
    return Engine(
        how="build",
        version=pins.dotted(pins.PULUMI),
        bin=target / "bin",
        plugins=target / "plugins",
    )


def _make(staging: Path, go: str, environ: Mapping[str, str]) -> None:
    say(
        f"building the Pulumi engine {_VERSION} from Go modules; "
        "once per version, about 8 minutes on 2 cores"
    )
    environment = _go_environment(environ)
    progress = Progress(parts=len(PARTS) + 1)
    for part in PARTS:
        target = staging / part.target
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [go, "build", "-v", "-trimpath", "-buildvcs=false", "-tags", part.tags]
        command += ["-ldflags", f"-s -w -X {_SDK}/go/common/version.Version={_VERSION}"]
        command += ["-o", str(target), part.package]
        progress.run(target.name, command, folder=_HERE / part.module, environ=environment)
    progress.run(
        "the Python scripts",
        [go, "mod", "download", "-json", f"{_SDK}@{_VERSION}"],
        folder=_HERE / "language",
        environ=environment,
        then=lambda printed: _copy_scripts(Path(json.loads(printed)["Dir"]), staging / "bin"),
    )


def _copy_scripts(sdk: Path, target: Path) -> None:
    for script in _SCRIPTS:
        copied = target / Path(script).name
        shutil.copyfile(sdk / script, copied)
        copied.chmod(0o755)
