"""A Pulumi engine of the user's own."""

import os
from pathlib import Path

import pytest

from engine import find
from engine.errors import EngineError


def install(folder: Path, answer: str, *, host: bool = True) -> dict[str, str]:
    """Put a `pulumi` that prints *answer* on a PATH, and return the environment."""
    folder.mkdir(exist_ok=True)
    names = {"pulumi": f"#!/bin/sh\n{answer}\n"}
    if host:
        names["pulumi-language-python"] = "#!/bin/sh\n"
    for name, text in names.items():
        program = folder / name
        program.write_text(text)
        program.chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder)}


@pytest.mark.parametrize(
    ("answer", "version"),
    [("echo v3.259.0", "3.259.0"), ("echo v3.260.1-dev.0", "3.260.1"), ("echo v4.0.0", "4.0.0")],
    ids=["the pinned one", "a newer one", "the next major one"],
)
def test_a_new_enough_pulumi_is_taken_with_its_version(
    tmp_path: Path, answer: str, version: str
) -> None:
    engine = find.on_path(install(tmp_path, answer))

    assert (engine.how, engine.version, engine.bin) == ("path", version, tmp_path)
    assert engine.plugins is None


@pytest.mark.parametrize("version", ["3.258.9", "3.99.0", "2.300.0"])
def test_an_older_pulumi_is_refused_with_both_versions(tmp_path: Path, version: str) -> None:
    with pytest.raises(EngineError, match=f"{version}, older than 3.259.0. Upgrade it"):
        find.on_path(install(tmp_path, f"echo v{version}"))


def test_a_pulumi_that_cannot_run_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no pulumi-language-python beside it"):
        find.on_path(install(tmp_path, "echo v3.259.0", host=False))


def test_a_language_host_beside_the_linked_program_counts(tmp_path: Path) -> None:
    install(tmp_path / "release", "echo v3.259.0")
    linked = tmp_path / "bin"
    linked.mkdir()
    (linked / "pulumi").symlink_to(tmp_path / "release" / "pulumi")

    assert find.on_path({"PATH": str(linked), "HOME": str(tmp_path)}).bin == linked


def test_what_prints_no_version_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="printed 'cannot start', not a version"):
        find.on_path(install(tmp_path, "echo cannot start >&2; exit 1"))


def test_asking_for_the_version_leaves_the_users_pulumi_home_alone(tmp_path: Path) -> None:
    """The CLI writes a log into its home even then."""
    environ = install(tmp_path / "bin", 'echo log > "${PULUMI_HOME:-$HOME}/log"; echo v3.259.0')
    own = tmp_path / "own"
    own.mkdir()

    find.on_path(environ | {"PULUMI_HOME": str(own)})

    assert list(own.iterdir()) == []


def test_a_missing_pulumi_is_told_apart_from_an_unusable_one(tmp_path: Path) -> None:
    with pytest.raises(find.NotThereError, match=r"Install 3\.259\.0 or newer"):
        find.on_path({"PATH": str(tmp_path), "HOME": str(tmp_path)})


def test_an_engine_of_the_cache_is_not_the_users_own(tmp_path: Path) -> None:
    """In a shell that has evaluated `make env`, ours is on PATH."""
    ours = tmp_path / ".cache" / "ovms-numa" / "engine" / "abc" / "bin"
    ours.parent.mkdir(parents=True)
    environ = install(ours, "echo v3.259.0") | {"HOME": str(tmp_path)}

    with pytest.raises(find.NotThereError):
        find.on_path(environ)

    users = install(tmp_path / "users", "echo v3.300.0")["PATH"]
    environ["PATH"] = os.pathsep.join((str(ours), users))
    assert find.on_path(environ).version == "3.300.0"
