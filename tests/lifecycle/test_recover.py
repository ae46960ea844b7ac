"""What a killed run leaves is taken away; what is someone else's is not."""

import json
import time
from pathlib import Path

import pytest
from docker.errors import NotFound

from lifecycle import recover_state
from lifecycle.errors import UnreachableError
from lifecycle.reach import Link, Where, reach
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.recover_place import (
    LABELS,
    Place,
    dead_process,
    resource,
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


def test_there_is_nothing_to_recover_after_a_run_that_ended(place: Place, capsys: Captured) -> None:
    before = place.state()

    assert run_recovery(capsys) == (0, ["test: nothing to recover"], "")
    assert place.state() == before
    assert list(place.locks.iterdir()) == []


def test_pending_operations_are_cleared_and_all_else_is_kept(
    place: Place, capsys: Captured
) -> None:
    place.has(resource("x:y:Z", "kept", inputs={"secret": "v1:abc"}), pending=("a", "b"))
    before = place.state()

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    assert lines[:2] == [
        "test: cleared the pending operation: creating a",
        "test: cleared the pending operation: creating b",
    ]
    before["deployment"]["pending_operations"] = []
    assert place.state() == before


def test_what_the_state_does_not_know_is_removed(place: Place, capsys: Captured) -> None:
    place.has(
        resource("docker:index/container:Container", "known", id="id-of-known"),
        resource("docker:index/network:Network", "inner", id="id-of-inner"),
        resource("docker:index/volume:Volume", "kept", id="kept"),
    )
    docker = place.docker
    kept = [
        docker.containers.add("known"),
        docker.networks.add("inner"),
        docker.volumes.add("kept"),
    ]
    lost = [
        docker.containers.add("known", id="id-of-another"),
        docker.containers.add("helper"),
        docker.networks.add("outer"),
        docker.volumes.add("lost"),
    ]

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    assert [thing.removed for thing in kept] == [False, False, False]
    assert [thing.removed for thing in lost] == [True, True, True, True]
    assert lines == [
        "test: removed the container known, which the state does not know",
        "test: removed the container helper, which the state does not know",
        "test: removed the network outer, which the state does not know",
        "test: removed the volume lost, which the state does not know",
        "test: recovered; `make up` goes on",
    ]


@pytest.mark.parametrize("missing", LABELS)
def test_what_lacks_a_label_of_this_state_is_left_alone(
    place: Place, capsys: Captured, missing: str
) -> None:
    other = place.docker.containers.add("other", labels={**LABELS, missing: "another"})
    bare = place.docker.volumes.add(
        "bare", labels={key: value for key, value in LABELS.items() if key != missing}
    )

    assert run_recovery(capsys)[:2] == (0, ["test: nothing to recover"])
    assert (other.removed, bare.removed) == (False, False)


def test_a_volume_that_was_deleted_to_be_replaced_is_not_known_any_more(
    place: Place, capsys: Captured
) -> None:
    place.has(
        resource("docker:index/volume:Volume", "v", id="volume", pendingReplacement=True),
    )
    made_anew = place.docker.volumes.add("volume")

    run_recovery(capsys)

    assert made_anew.removed


def test_before_the_state_has_an_id_nothing_in_docker_is_touched(
    place: Place, capsys: Captured
) -> None:
    place.has()
    state = place.state()
    state["deployment"]["resources"] = [state["deployment"]["resources"][0]]
    (place.home / "state.json").write_text(json.dumps(state))
    stray = place.docker.containers.add("stray")

    assert run_recovery(capsys)[0] == 0
    assert not stray.removed


def test_a_removal_that_docker_refuses_says_what_to_do(place: Place, capsys: Captured) -> None:
    place.docker.networks.add("net", refuses=refusal("network net has active endpoints"))

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert "net: removing a network that the state does not know: network net has" in err
    assert "docker network rm net" in err


def test_what_goes_by_itself_meanwhile_is_no_failure(place: Place, capsys: Captured) -> None:
    gone = place.docker.containers.add("gone", refuses=NotFound("no such container"))

    assert run_recovery(capsys)[:2] == (0, ["test: nothing to recover"])
    assert not gone.removed


def test_after_a_kill_docker_is_watched_until_nothing_more_appears(
    place: Place, dead: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finishes the creation that a killed plugin asked for."""
    place.lock(dead)
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            place.docker.containers.add("late")

    monkeypatch.setattr(time, "sleep", nap)

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    assert "test: removed the container late, which the state does not know" in lines


def test_a_stack_that_is_not_there_is_named_with_the_clis_own_words(
    place: Place, capsys: Captured
) -> None:
    (place.home / "state.json").unlink()

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert "test: reading its state: no stack named 'test' found." in err
    assert "`pulumi stack ls` lists the stacks" in err


def test_without_the_cli_it_says_where_to_find_it(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(place.home / "nothing"))

    status, _, err = run_recovery(capsys)

    assert status == 1
    assert "there is no `pulumi` on PATH" in err
    assert "make -s env" in err


def test_a_cli_that_does_not_end_is_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """As before a backend that takes connections and never answers."""
    monkeypatch.setattr(recover_state, "_WITHIN_S", 0.2)
    (place.home / "bin" / "pulumi").write_text("#!/bin/sh\nexec sleep 60\n")

    status, _, error = run_recovery(capsys)

    assert status == 1
    assert "reading its state: `pulumi stack export` did not end within 0.2 s" in error
    assert "see that the backend answers" in error


def test_a_host_that_is_not_reached_keeps_no_other_from_being_recovered(
    place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = resource("pulumi:providers:docker", "docker-a", inputs={"host": "unix:///dead.sock"})
    place.has(dead)
    stray = place.docker.containers.add("stray")

    def reach_the_living(where: Where) -> Link:
        if where.docker == "unix:///dead.sock":
            raise UnreachableError(subject=where.docker, step="connecting", seen="no", remedy="go")
        return reach(where)

    monkeypatch.setattr("lifecycle.recover_docker.reach", reach_the_living)

    status, said, error = run_recovery(capsys)

    assert (status, stray.removed) == (1, True)
    assert said == ["test: removed the container stray, which the state does not know"]
    assert error.startswith("unix:///dead.sock: connecting: no.")
