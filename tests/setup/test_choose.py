"""Which way is taken, and how a refusal reads."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine import build, choose, download, find
from engine.errors import EngineError
from engine.value import Engine

PROJECT = Path(__file__).resolve().parents[2]


def engine(how: str) -> Engine:
    return Engine(how=how, version="3.259.0", bin=Path("/e/bin"), plugins=Path("/e/plugins"))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, EngineError | None]:
    """Replace the ways: each succeeds, or refuses with what a test puts here."""
    refusals: dict[str, EngineError | None] = {
        "path": find.NotThereError("no pulumi on PATH. Install it"),
        "download": None,
        "build": None,
    }

    def way(how: str) -> Engine:
        refusal = refusals[how]
        if refusal is not None:
            raise refusal
        return engine(how)

    def obtain(how: str) -> object:
        return lambda _environ: way(how)

    monkeypatch.setattr(find, "on_path", obtain("path"))
    for module, how in ((download, "download"), (build, "build")):
        monkeypatch.setattr(module, "obtain", obtain(how))
        monkeypatch.setattr(module, "cached", lambda _environ: None)
    monkeypatch.setattr(
        choose, "_WAYS", {"path": find.on_path, "download": download.obtain, "build": build.obtain}
    )
    return refusals


def test_the_users_own_engine_comes_first(tried: dict[str, EngineError | None]) -> None:
    tried["path"] = None

    assert choose.ensure({}).how == "path"


def test_without_one_the_release_is_downloaded(tried: dict[str, EngineError | None]) -> None:
    assert tried["path"] is not None
    assert choose.ensure({}).how == "download"


def test_an_unreachable_release_leads_to_the_build(
    tried: dict[str, EngineError | None], capsys: pytest.CaptureFixture[str]
) -> None:
    tried["download"] = download.UnreachableError("nothing answers. Set ENGINE=build")

    assert choose.ensure({}).how == "build"
    assert "not downloaded: nothing answers\n" in capsys.readouterr().err


def test_a_release_that_is_not_what_it_says_never_leads_to_the_build(
    tried: dict[str, EngineError | None],
) -> None:
    tried["download"] = EngineError("it has SHA-256 1, but its release says 2. It is not used")

    with pytest.raises(EngineError, match="its release says 2"):
        choose.ensure({})


def test_an_old_engine_on_path_is_named_and_passed_over(
    tried: dict[str, EngineError | None], capsys: pytest.CaptureFixture[str]
) -> None:
    tried["path"] = EngineError("/x/pulumi is version 3.1.0, older than 3.259.0. Upgrade it")

    assert choose.ensure({}).how == "download"
    said = capsys.readouterr().err
    assert "not the one on PATH: /x/pulumi is version 3.1.0, older than 3.259.0\n" in said


@pytest.mark.parametrize("how", ["download", "build"])
def test_what_was_obtained_earlier_is_taken_without_the_network(
    tried: dict[str, EngineError | None], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    tried["download"] = EngineError("asked the network")
    tried["build"] = EngineError("built again")
    module = {"download": download, "build": build}[how]
    monkeypatch.setattr(module, "cached", lambda _environ: engine(how))

    assert choose.ensure({}).how == how


@pytest.mark.parametrize("how", ["path", "download", "build"])
def test_a_forced_way_is_the_only_one(tried: dict[str, EngineError | None], how: str) -> None:
    for other in tried:
        tried[other] = None if other == how else EngineError(f"tried {other}")

    assert choose.ensure({"ENGINE": how}).how == how

    tried[how] = download.UnreachableError(f"{how} is refused. Do that")
    with pytest.raises(EngineError, match=f"{how} is refused. Do that"):
        choose.ensure({"ENGINE": how})


def test_an_unknown_way_lists_the_known_ones() -> None:
    with pytest.raises(EngineError, match="'brew', which is none of path, download, build"):
        choose.ensure({"ENGINE": "brew"})


def run(environ: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as the Makefile does, on a machine with next to nothing on PATH."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        cwd=PROJECT,
        env={"PYTHONPATH": str(PROJECT), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"ENGINE": "path"}, "no pulumi on PATH. Install 3.259.0 or newer, or leave ENGINE unset"),
        (
            {"ENGINE": "download", "ENGINE_DOWNLOAD_URL": "http://127.0.0.1:1"},
            "Set ENGINE=build to build it from Go modules",
        ),
    ],
    ids=["path", "download"],
)
def test_a_refusal_is_one_message_and_exit_code_1(
    tmp_path: Path, environ: dict[str, str], said: str
) -> None:
    ended = run({**environ, "HOME": str(tmp_path), "PATH": str(tmp_path)}, "ensure")

    assert ended.returncode == 1
    assert ended.stderr.startswith("engine: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_cache_that_cannot_be_made_is_a_sentence_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "go").write_text("#!/bin/sh\necho go version go1.26.8 linux/amd64\n")
    (tmp_path / "go").chmod(0o755)
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path), "ENGINE": "build"}

    ended = run({**environ, "XDG_CACHE_HOME": str(tmp_path / "file")}, "ensure")

    assert ended.returncode == 1
    assert "Not a directory" in ended.stderr
    assert "set XDG_CACHE_HOME to another folder" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_way_taken_is_told_with_its_version(tmp_path: Path) -> None:
    for name in ("pulumi", "pulumi-language-python"):
        (tmp_path / name).write_text("#!/bin/sh\necho v3.260.0\n")
        (tmp_path / name).chmod(0o755)
    path = os.pathsep.join((str(tmp_path), "/bin"))

    ended = run({"HOME": str(tmp_path), "PATH": path}, "ensure")

    assert ended.stderr == f"engine: path: pulumi 3.260.0 in {tmp_path}\n"
    assert ended.returncode == 0
