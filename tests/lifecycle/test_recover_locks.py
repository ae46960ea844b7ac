"""Locks of dead processes go; a run that lives is not disturbed."""

import json
import os
import socket
from pathlib import Path

import pytest

from lifecycle import recover_docker, recover_files, recover_locks
from lifecycle.errors import LifecycleError
from tests.lifecycle.recover_place import (
    PROJECT,
    STACK,
    Place,
    dead_process,
    run_recovery,
    stand_up_place,
)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return stand_up_place(tmp_path, monkeypatch)


@pytest.fixture
def dead() -> int:
    return dead_process()


def test_a_lock_of_a_process_that_is_gone_is_removed(
    place: Place, dead: int, capsys: Captured
) -> None:
    place.lock(dead)

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    assert lines == [
        f"test: removed the lock of process {dead}, which is gone",
        "test: recovered; `make up` goes on",
    ]
    assert list(place.locks.iterdir()) == []


def test_a_lock_of_an_older_process_of_the_same_number_is_removed(
    place: Place, capsys: Captured
) -> None:
    place.lock(os.getpid(), age_s=10 * 24 * 3600)

    status, _, _ = run_recovery(capsys)

    assert status == 0
    assert list(place.locks.iterdir()) == []


def test_a_lock_of_a_process_that_lives_is_refused_and_nothing_is_touched(
    place: Place, capsys: Captured
) -> None:
    path = place.lock(os.getpid())
    place.has(pending=("balancer",))
    stray = place.docker.containers.add("stray")

    status, lines, err = run_recovery(capsys)

    assert (status, lines) == (1, [])
    assert f"test: recovering it: process {os.getpid()} of me (" in err
    assert "and still runs." in err
    assert f"kill -INT {os.getpid()}" in err
    assert path.exists()
    assert place.state()["deployment"]["pending_operations"]
    assert not stray.removed


def test_a_lock_of_another_host_is_refused_with_the_remedy(
    place: Place, dead: int, capsys: Captured
) -> None:
    path = place.lock(dead, host="elsewhere")

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert f"process {dead} of me on the host elsewhere holds its lock since" in err
    assert "run `make recover STACK=test` on elsewhere" in err
    assert "`pulumi cancel --stack test`" in err
    assert path.exists()


def test_half_a_lock_is_refused_as_no_one_knows_whose_it_is(place: Place, capsys: Captured) -> None:
    place.lock(1).write_text('{"pid": 1')

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert "`pulumi cancel --stack test`" in err


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/state", "/srv/state"),
        ("file:///srv/state?no_tmp_dir=true", "/srv/state"),
        ("file://~/state", "~/state"),
        ("file://", "."),
    ],
)
def test_the_locks_are_found_where_the_backend_is(url: str, folder: str) -> None:
    wanted = Path(folder).expanduser() / ".pulumi/locks/organization/ovms-numa/test"

    for name in (STACK, f"organization/{PROJECT}/{STACK}"):
        files = recover_files.stack_files(url, PROJECT, name)
        assert files is not None
        assert files.locks == wanted


def test_half_written_attributes_are_removed_as_the_cli_could_not_read_the_state(
    place: Place, capsys: Captured
) -> None:
    stacks = place.home / "backend" / ".pulumi" / "stacks" / PROJECT
    stacks.mkdir(parents=True)
    empty = stacks / "test.json.attrs"
    whole, half = stacks / "test.json.bak.attrs", stacks / "test.json.bak.18ea.tmp"
    another = stacks / "test2.json.attrs"
    for path, text in ((empty, ""), (whole, "{}"), (half, "{"), (another, "")):
        path.write_text(text)

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    assert lines == [
        "test: removed the half-written test.json.attrs, which the state does not need",
        "test: removed the half-written test.json.bak.18ea.tmp",
        "test: recovered; `make up` goes on",
    ]
    assert sorted(stacks.iterdir()) == [whole, another]


def test_without_a_backend_in_the_environment_the_cli_is_asked(
    place: Place, dead: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL")
    (place.home / "url").write_text(f"file://{place.home}/backend")
    place.lock(dead)

    assert run_recovery(capsys)[0] == 0
    assert list(place.locks.iterdir()) == []


def test_a_backend_that_is_not_in_files_shows_by_a_write_that_no_run_lives(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")

    assert run_recovery(capsys) == (0, ["test: nothing to recover"], "")
    assert (place.home / "imports").read_text() == "1"


def test_a_locked_backend_that_is_not_in_files_points_to_pulumi_cancel(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://bucket")
    (place.home / "locked").touch()
    stray = place.docker.containers.add("stray")

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert "the stack is currently locked by 1 lock(s)" in err
    assert "run `pulumi cancel --stack test` and then this again" in err
    assert not stray.removed


def test_no_run_can_begin_while_docker_is_searched(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(*_: object, **__: object) -> None:
        (path,) = place.locks.glob("*.json")
        seen.append(json.loads(path.read_text()))

    monkeypatch.setattr(recover_docker, "remove_leftovers", look)

    assert run_recovery(capsys)[0] == 0
    assert seen[0]["pid"] == os.getpid()
    assert seen[0]["hostname"] == socket.gethostname()
    assert list(place.locks.iterdir()) == []


def test_a_run_that_begins_first_is_not_disturbed(place: Place) -> None:
    path = place.lock(os.getpid())

    with (
        pytest.raises(LifecycleError, match="began a run meanwhile"),
        recover_locks.held(place.locks, STACK),
    ):
        pytest.fail("two runs at once")

    assert list(place.locks.glob("*.json")) == [path]
