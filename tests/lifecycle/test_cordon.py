from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from lifecycle.balancer_config import read_all
from lifecycle.cordon import cordon, uncordon
from lifecycle.errors import LifecycleError
from lifecycle.found import BALANCER
from lifecycle.member import cordon_path, is_intact, member_fault, member_path
from lifecycle.observe import cordoned_in
from lifecycle.stack_file import StackFile
from tests.lifecycle.docker_double import as_container
from tests.lifecycle.stack_double import FIRST, SECOND, Stack, stand_up_stack
from tests.lifecycle.world import World, write_proc, write_sockets


@pytest.fixture
def stack(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return stand_up_stack(world, tmp_path, monkeypatch)


Act = Callable[[StackFile, str], str]
careful = partial(cordon, force=False)


def refused(act: Act, stack: Stack, name: str) -> str:
    with pytest.raises(LifecycleError) as refusal:
        act(stack.file, name)
    return str(refusal.value)


def test_a_cordon_closes_the_instance_and_marks_it_in_one_generation(stack: Stack) -> None:
    said = cordon(stack.file, FIRST, force=False)

    assert stack.read(member_path(FIRST)) == stack.member(is_open=False)
    assert stack.read(member_path(SECOND)) == stack.member(is_open=True)
    assert stack.is_cordoned(FIRST)
    assert (stack.world.volume / "loaded").read_text() == "gen-2\n"
    assert said == f"{FIRST} is cordoned; 1 of 2 instances is open; it has nothing in flight"


def test_a_cordon_is_nothing_wrong(stack: Stack) -> None:
    cordon(stack.file, FIRST, force=False)

    files = read_all(as_container(stack.machines[BALANCER]))
    assert cordoned_in(files) == {FIRST}
    assert member_fault(files, FIRST) is None


def test_a_cordon_tells_what_is_still_in_flight_there(stack: Stack) -> None:
    proc = stack.machines[FIRST].mounts["/proc"]
    write_sockets(proc, port=stack.world.server.port, connections=3)

    assert "; 3 connections to it end by themselves" in cordon(stack.file, FIRST, force=False)


def test_a_second_cordon_changes_nothing(stack: Stack) -> None:
    cordon(stack.file, FIRST, force=False)
    stack.world.calls.clear()

    said = cordon(stack.file, FIRST, force=False)

    assert said.startswith(f"{FIRST} is cordoned; 1 of 2 instances is open")
    assert stack.world.calls == []


def test_an_instance_that_was_opened_behind_its_cordon_is_closed_again(stack: Stack) -> None:
    """An update that had read the configuration before may open it after."""
    cordon(stack.file, FIRST, force=False)
    stack.put_members(FIRST, SECOND)

    cordon(stack.file, FIRST, force=False)

    assert stack.read(member_path(FIRST)) == stack.member(is_open=False)


def test_the_last_open_instance_is_not_cordoned(stack: Stack) -> None:
    stack.put_members(FIRST)

    message = refused(careful, stack, FIRST)

    assert message.startswith(f"{FIRST}: cordoning it: it is the only one of 2 instances")
    assert "FORCE=1" in message
    assert not stack.is_cordoned(FIRST)


def test_one_that_is_open_but_does_not_run_counts_as_closed(stack: Stack) -> None:
    stack.machines[SECOND].status = "exited"

    assert "it is the only one" in refused(careful, stack, FIRST)


def test_by_force_the_last_one_is_cordoned_too(stack: Stack) -> None:
    stack.put_members(FIRST)

    said = cordon(stack.file, FIRST, force=True)

    assert said.startswith(f"{FIRST} is cordoned; 0 of 2 instances are open")
    assert stack.read(member_path(FIRST)) == stack.member(is_open=False)


def test_one_that_is_closed_already_is_cordoned_even_where_none_is_open(stack: Stack) -> None:
    stack.put_members()

    cordon(stack.file, FIRST, force=False)

    assert stack.is_cordoned(FIRST)


def test_an_instance_that_the_balancer_does_not_know_yet_gets_the_mark_alone(
    stack: Stack,
) -> None:
    (stack.world.volume / "current" / member_path(FIRST)).unlink()
    stack.machines[FIRST].status = "created"

    said = cordon(stack.file, FIRST, force=False)

    assert stack.read(member_path(FIRST)) is None
    assert stack.is_cordoned(FIRST)
    assert said == f"{FIRST} is cordoned; 1 of 2 instances is open"


def test_an_edit_by_hand_is_still_seen_after_a_cordon(stack: Stack) -> None:
    edited = stack.member(is_open=True).replace(b"weight=1", b"weight=7")
    stack.put({member_path(FIRST): edited})

    cordon(stack.file, FIRST, force=False)

    found = stack.read(member_path(FIRST)) or b""
    assert b"weight=7 max_fails=0 down;" in found
    assert not is_intact(found)


def test_a_balancer_at_rest_keeps_the_cordon_for_its_start(stack: Stack) -> None:
    stack.machines[BALANCER].status = "exited"

    cordon(stack.file, FIRST, force=False)

    assert stack.is_cordoned(FIRST)
    assert stack.world.calls == ["helper: copy in", "helper: start", "helper: remove by force"]


@pytest.mark.parametrize("act", [careful, uncordon])
@pytest.mark.parametrize(
    ("name", "words"), [("box-node7-0", "no 'box-node7-0'"), ("", "none is named")]
)
def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    stack: Stack, act: Act, name: str, words: str
) -> None:
    message = refused(act, stack, name)

    assert words in message
    assert f"there are {FIRST}, {SECOND}.\n" in message
    assert stack.world.calls == []


def test_without_a_balancer_there_is_nothing_to_close_in(stack: Stack) -> None:
    del stack.world.engine.machines[stack.machines[BALANCER].name]

    message = refused(careful, stack, FIRST)

    assert message.startswith("dev: looking for its balancer: it is gone.\n")
    assert "`make up STACK=dev`" in message


def test_a_stack_that_has_nothing_on_its_host_says_so(stack: Stack) -> None:
    stack.world.engine.machines.clear()

    message = refused(careful, stack, FIRST)

    assert "the stack has none at unix:///var/run/docker.sock" in message


def test_an_uncordoned_instance_is_open_as_it_was_before(stack: Stack) -> None:
    cordon(stack.file, FIRST, force=False)

    said = uncordon(stack.file, FIRST)

    assert stack.read(member_path(FIRST)) == stack.member(is_open=True)
    assert not stack.is_cordoned(FIRST)
    assert said == f"{FIRST} is open again; 2 of 2 instances are open"
    assert (stack.world.volume / "loaded").read_text() == "gen-3\n"


def test_an_instance_that_was_not_cordoned_stays_as_it_is(stack: Stack) -> None:
    assert uncordon(stack.file, FIRST) == f"{FIRST} was not cordoned; 2 of 2 instances are open"
    assert stack.world.calls == []


def test_an_instance_that_is_closed_without_a_cordon_waits_for_an_update(stack: Stack) -> None:
    stack.put_members(SECOND)

    message = refused(uncordon, stack, FIRST)

    assert "it is closed in the balancer, and no one cordoned it.\n" in message
    assert "`make up STACK=dev`" in message
    assert stack.world.calls == []


@pytest.mark.parametrize(
    ("cpus", "status", "words"),
    [
        ("0-1", "running", "was re-pinned: CPUs: planned 0, found 0-1"),
        ("0", "exited", "is exited, not running"),
    ],
    ids=["re-pinned", "stopped"],
)
def test_an_instance_that_does_not_run_as_planned_stays_closed(
    stack: Stack, cpus: str, status: str, words: str
) -> None:
    cordon(stack.file, FIRST, force=False)
    machine = stack.machines[FIRST]
    machine.status = status
    tasks = {7: (cpus, "0"), 12: (cpus, "0")}
    write_proc(machine.mounts["/proc"], port=stack.world.server.port, tasks=tasks)

    message = refused(uncordon, stack, FIRST)

    assert f"{FIRST}: opening it: the cordon is off, but it {words}.\n" in message
    assert "`make up STACK=dev`, which repairs, proves and opens it" in message
    assert stack.read(member_path(FIRST)) == stack.member(is_open=False)
    assert not stack.is_cordoned(FIRST)


def test_an_instance_whose_server_listens_nowhere_stays_closed(stack: Stack) -> None:
    """As while it loads after a restart."""
    cordon(stack.file, FIRST, force=False)
    write_sockets(stack.machines[FIRST].mounts["/proc"], port=1, connections=0)

    assert "no process in the container listens on port" in refused(uncordon, stack, FIRST)


def test_a_member_file_that_was_edited_by_hand_is_not_opened(stack: Stack) -> None:
    stack.put({cordon_path(FIRST): b"", member_path(FIRST): b"# edited\nserver 10.0.0.1 down;\n"})

    message = refused(uncordon, stack, FIRST)

    assert "had its member file in the balancer edited by hand" in message
    assert stack.read(member_path(FIRST)) == b"# edited\nserver 10.0.0.1 down;\n"


def test_the_cordon_of_an_instance_that_is_gone_can_be_taken_off(stack: Stack) -> None:
    stack.put({cordon_path("box-node7-0"): b""})

    said = uncordon(stack.file, "box-node7-0")

    assert said.startswith("box-node7-0 is not cordoned any more; the stack has no such instance")
    assert not stack.is_cordoned("box-node7-0")
