"""The engine built here: when, where, and what an interruption leaves."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pulumi_docker
import pytest

from engine import build, cache, pins
from engine.errors import EngineError
from engine.progress import Progress


def go(folder: Path, answer: str) -> dict[str, str]:
    """Put a `go` that prints *answer* on a PATH, and return an environment with a fresh cache."""
    folder.mkdir(exist_ok=True)
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return go(tmp_path, "go version go1.26.8 linux/amd64")


def make(staging: Path, _go: str, _environ: Mapping[str, str]) -> None:
    (staging / "bin").mkdir()
    (staging / "bin" / "pulumi").write_text("built")


def refuse(_staging: Path, _go: str, _environ: Mapping[str, str]) -> None:
    raise AssertionError("built again")


def test_a_build_is_made_once(environ: dict[str, str]) -> None:
    assert build.cached(environ) is None

    first = build.obtain(environ, make=make)

    assert (first.bin / "pulumi").read_text() == "built"
    assert build.obtain(environ, make=refuse) == first
    assert build.cached(environ) == first


def test_another_go_makes_another_engine(tmp_path: Path) -> None:
    first = build.obtain(go(tmp_path, "go version go1.26.8 linux/amd64"), make=make)
    second = build.obtain(go(tmp_path, "go version go1.27.0 linux/amd64"), make=make)

    assert first.bin != second.bin


def test_an_interrupted_build_leaves_nothing_half_and_is_cleared_by_the_next(
    environ: dict[str, str],
) -> None:
    def interrupt(staging: Path, _go: str, _environ: Mapping[str, str]) -> None:
        (staging / "bin").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.obtain(environ, make=interrupt)
    assert build.cached(environ) is None

    # A killed process cannot clear up after itself.
    killed = cache.folder(environ) / ".unfinished-killed"
    (killed / "bin").mkdir(parents=True)
    engine = build.obtain(environ, make=make)
    assert {file.name for file in engine.bin.parent.parent.iterdir()} == {
        ".lock",
        engine.bin.parent.name,
    }


def test_two_calls_at_once_build_once_and_the_second_says_that_it_waits(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    builds = []
    waiting = threading.Event()

    def slow(staging: Path, go: str, environ: Mapping[str, str]) -> None:
        builds.append(staging)
        waiting.wait(timeout=10)
        make(staging, go, environ)

    calls = [
        threading.Thread(target=build.obtain, args=(environ,), kwargs={"make": slow})
        for _ in range(2)
    ]
    for call in calls:
        call.start()
    said = ""
    until = time.monotonic() + 10
    while "waiting for it" not in said and time.monotonic() < until:
        time.sleep(0.01)
        said += capsys.readouterr().err
    waiting.set()
    for call in calls:
        call.join()

    assert said == f"engine: another call is filling {cache.folder(environ)}: waiting for it\n"
    assert len(builds) == 1
    assert build.cached(environ) is not None


def test_what_a_killed_build_has_started_keeps_the_next_one_waiting(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Go ends after its caller, and would write into a folder that has been cleared."""
    cache.folder(environ).mkdir(parents=True)
    mark = tmp_path / "mark"
    dies = f"kill -9 $PPID; sleep 1; touch {mark}"
    script = (
        "import os, pathlib; from engine import cache; from engine.progress import Progress\n"
        f"with cache.making(pathlib.Path({str(cache.folder(environ) / 'x')!r})) as staging:\n"
        f"    Progress(parts=1).run('go', ['/bin/sh', '-c', {dies!r}], folder=staging,"
        " environ=dict(os.environ))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(build.__file__).parents[1], check=False
    )
    assert killed.returncode == -signal.SIGKILL

    build.obtain(environ, make=make)

    assert mark.exists()
    assert "waiting for it" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["go version go1.19.8 linux/amd64", "not Go at all"])
def test_an_old_go_is_refused_with_what_it_says(tmp_path: Path, answer: str) -> None:
    with pytest.raises(EngineError, match=f"says '{answer}', older than 1.25.11.*Install Go"):
        build.obtain(go(tmp_path, answer), make=refuse)


def test_a_missing_go_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_GO_FOLDER", str(tmp_path / "none"))

    with pytest.raises(EngineError, match=r"Go is not on PATH.*Install Go 1.25.11 or newer"):
        build.obtain({"PATH": str(tmp_path), "HOME": str(tmp_path)}, make=refuse)


def test_the_plugins_lie_where_the_cli_looks_for_their_versions() -> None:
    """Folder kind-name-vVERSION, program pulumi-kind-name; versions as the Python SDKs'."""
    targets = {part.target for part in build.PARTS}
    site = Path(pulumi_docker.__file__).parents[1]

    for name in ("docker", "command"):
        asked = json.loads((site / f"pulumi_{name}" / "pulumi-plugin.json").read_text())
        target = f"plugins/resource-{name}-v{asked['version']}/pulumi-resource-{name}"
        assert target in targets


def test_a_failed_part_ends_with_its_last_lines(tmp_path: Path) -> None:
    script = "for i in $(seq 40); do echo line $i >&2; done; exit 2"

    with pytest.raises(EngineError) as refusal:
        Progress(parts=1).run(
            "pulumi", ["/bin/sh", "-c", script], folder=tmp_path, environ={"PATH": "/bin:/usr/bin"}
        )

    lines = str(refusal.value).splitlines()
    assert "building pulumi failed" in lines[0]
    assert lines[1:] == [f"line {number}" for number in range(26, 41)]


def test_a_long_part_shows_that_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(parts=4, heartbeat_s=0.1)

    progress.run(
        "pulumi",
        ["/bin/sh", "-c", "echo net/http >&2; sleep 0.5"],
        folder=tmp_path,
        environ={"PATH": "/bin:/usr/bin"},
    )

    said = capsys.readouterr().err.splitlines()
    assert said[0] == "engine: [1/4, 0:00] pulumi"
    assert "engine: [1/4, 0:00] pulumi: 1 steps, now net/http" in said


def test_the_versions_are_those_of_the_go_modules() -> None:
    folder = Path(build.__file__).parent
    for module in ("cli", "language", "command"):
        text = (folder / module / "go.mod").read_text()
        assert f"github.com/pulumi/pulumi/sdk/v3 v{pins.dotted(pins.PULUMI)}" in text.split("=>")[0]
    for part in build.PARTS:
        assert f"\ngo {pins.dotted(pins.GO)}\n" in (folder / part.module / "go.mod").read_text()
