from collections.abc import Callable

import pytest

from lifecycle.activate import activate
from lifecycle.errors import LifecycleError
from lifecycle.member import unwell_path
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.world import (
    BALANCER,
    CONTAINER,
    LOCAL,
    MEMBER,
    MODEL,
    NAME,
    World,
    write_numa_maps,
    write_sockets,
)

READY, COMPLETIONS = f"GET /v2/models/{MODEL}/ready", "POST /v3/completions"
ASKED = [f"server: {READY}", f"server: {READY}", f"server: {COMPLETIONS}"]
PROVEN = {
    "instance": NAME,
    "cpus": "0",
    "memory_nodes": "0",
    "local_share": 1.0,
    "memory_mib": {"anonymous": {"0": 4}, "model": {"0": 2}, "libraries": {}},
}
# 6 MiB on node 0 and 4 on node 1.
STRAYED = (
    LOCAL
    + """\
7ff4c22d0000 default anon=1536 dirty=1536 active=0 N0=512 N1=1024 kernelpagesize_kB=4
"""
)
NOTHING_BUT_OPENING = [f"{BALANCER}: copy in"]


def run(world: World, **changes: object) -> dict[str, object]:
    return activate(world.spec(**changes), world.said.append)


def message_of(world: World, **changes: object) -> str:
    with pytest.raises(LifecycleError) as refused:
        run(world, **changes)
    return str(refused.value)


def assert_stopped_and_closed(world: World) -> None:
    """No traffic and no process."""
    assert world.instance.status == "exited"
    assert world.member() is None or " down;" in (world.member() or "")


def test_a_new_instance_is_bound_started_asked_proven_and_only_then_opened(world: World) -> None:
    result = run(world)

    assert world.calls == [
        f"{CONTAINER}: stop within 3 s",
        f"{CONTAINER}: update restart no, CPUs 0, memory 0",
        f"{CONTAINER}: start",
        f"server: {READY}",
        f"server: {READY}",
        f"server: {COMPLETIONS}",
        f"{CONTAINER}: update restart unless-stopped",
        *NOTHING_BUT_OPENING,
    ]
    assert result == PROVEN
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=1 max_fails=0;"


def test_each_step_is_told_as_it_happens(world: World) -> None:
    run(world)

    assert world.told() == [
        "bound to CPUs 0, memory 0",
        "starting",
        f"waiting for the model {MODEL}",
        "ready after N s",
        "first token after N s",
        "proven: 2 tasks on CPUs 0, memory 0, 100% of 4 MiB local",
        "open",
    ]


def test_an_instance_that_serves_as_planned_is_left_alone(world: World) -> None:
    world.serve_as_planned()

    result = run(world)

    assert world.calls == ASKED
    assert result == PROVEN
    waiting = f"waiting for the model {MODEL}"
    assert world.told() == [waiting, "ready", "first token after N s", "runs as planned", "open"]


def test_another_weight_is_another_member_file_and_nothing_else(world: World) -> None:
    world.serve_as_planned()

    run(world, weight=3)

    assert world.calls == [*ASKED, *NOTHING_BUT_OPENING]
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=3 max_fails=0;"


def test_an_instance_that_the_watcher_closed_is_opened_once_it_generates(world: World) -> None:
    world.serve_as_planned()
    mark = world.volume / "current" / unwell_path(NAME)
    mark.parent.mkdir()
    mark.write_text("refused connections\n")

    run(world)

    assert world.calls == [*ASKED, *NOTHING_BUT_OPENING]
    assert not (world.volume / "current" / unwell_path(NAME)).exists()


def test_an_instance_that_was_left_closed_is_opened_again(world: World) -> None:
    world.serve_as_planned()
    world.put_member(" down")

    run(world)

    assert world.calls == [*ASKED, *NOTHING_BUT_OPENING]
    assert " down" not in (world.member() or " down")


def test_an_instance_that_an_operator_cordoned_is_brought_up_and_stays_closed(world: World) -> None:
    (world.volume / "current/cordoned").mkdir()
    (world.volume / "current/cordoned" / NAME).touch()

    run(world)

    assert world.instance.status == "running"
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=1 max_fails=0 down;"
    assert world.said[-1] == "stays closed: it is cordoned"


def test_a_member_file_that_was_edited_by_hand_is_written_again(world: World) -> None:
    world.serve_as_planned()
    edited = world.volume / "current" / MEMBER
    edited.write_text(edited.read_text().replace("weight=1", "weight=9"))

    run(world)

    assert world.calls == [*ASKED, *NOTHING_BUT_OPENING]
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=1 max_fails=0;"


def stop(world: World) -> None:
    world.instance.status = "exited"


def move(world: World) -> None:
    world.enforced = ("0-1", "0")
    world.show_tasks()
    world.enforced = None


def lose_the_policy(world: World) -> None:
    """As an activation that was killed leaves it."""
    world.instance.policy = {"Name": "no", "MaximumRetryCount": 0}


def close_the_port(world: World) -> None:
    write_sockets(world.proc, port=world.server.port + 1, connections=0)


def leave_pages_behind(world: World) -> None:
    """As a move and its undoing leave them where the kernel moves no pages along."""
    write_numa_maps(world.proc, STRAYED)


@pytest.mark.parametrize(
    "change", [stop, move, lose_the_policy, close_the_port, leave_pages_behind]
)
def test_an_instance_that_does_not_serve_as_planned_is_closed_and_starts_over(
    world: World, change: Callable[[World], None]
) -> None:
    world.serve_as_planned()
    change(world)

    run(world)

    assert world.calls == [
        f"{BALANCER}: copy in",
        f"{CONTAINER}: stop within 3 s",
        f"{CONTAINER}: update restart no, CPUs 0, memory 0",
        f"{CONTAINER}: start",
        f"server: {READY}",
        f"server: {READY}",
        f"server: {COMPLETIONS}",
        f"{CONTAINER}: update restart unless-stopped",
        f"{BALANCER}: copy in",
    ]
    assert world.instance.status == "running"
    assert " down" not in (world.member() or " down")


def test_an_instance_without_a_binding_is_not_bound(world: World) -> None:
    world.enforced = ("0-7", "0-1")

    result = run(world, cpus=None, memory_nodes=None)

    assert f"{CONTAINER}: update restart no" in world.calls
    assert "bound to CPUs of the host, memory any" in world.said
    assert result == {**PROVEN, "cpus": "0-7", "memory_nodes": "0-1"}


def test_an_instance_that_is_not_there_is_named_with_the_way_to_make_it(
    world: World, golden: Callable[[str], str]
) -> None:
    del world.engine.machines[CONTAINER]

    assert message_of(world) == golden("no_container")
    assert world.calls == []


def test_a_binding_that_docker_refuses(world: World, golden: Callable[[str], str]) -> None:
    world.instance.refusals["update restart no"] = refusal(
        "Requested CPUs are not available - requested 0-9, available: 0-1", 400
    )

    assert message_of(world, cpus="0-9") == golden("binding_refused")
    assert_stopped_and_closed(world)


def test_an_address_that_is_in_use(world: World, golden: Callable[[str], str]) -> None:
    world.instance.refusals["start"] = refusal(
        "failed to set up container networking: Address already in use", 403
    )

    assert message_of(world) == golden("start_refused")
    assert_stopped_and_closed(world)


def test_a_server_that_exits(world: World, golden: Callable[[str], str]) -> None:
    def exit_at_once() -> None:
        world.instance.status, world.instance.exit_code = "exited", 64

    world.instance.on_start = exit_at_once

    assert message_of(world) == golden("exits_at_start")
    assert_stopped_and_closed(world)
    assert world.instance.policy["Name"] == "no", "Docker must not start what is not proven"


def test_an_instance_that_was_moved_before_its_proof_is_told_with_both_lists(
    world: World, golden: Callable[[str], str]
) -> None:
    world.enforced = ("0-1", "0")

    assert message_of(world) == golden("moved")
    assert_stopped_and_closed(world)


def test_a_server_whose_tasks_cannot_be_read(world: World, golden: Callable[[str], str]) -> None:
    """An image without the tools, for one."""
    world.instance.log = "[serving][info] Server started on port 8001\n"
    world.instance.refusals["exec"] = refusal(
        'OCI runtime exec failed: exec: "sh": executable file not found in $PATH', 400
    )

    assert message_of(world) == golden("not_provable")
    assert_stopped_and_closed(world)


def test_a_failure_leaves_an_instance_that_was_open_closed(world: World) -> None:
    world.serve_as_planned()
    stop(world)
    world.enforced = ("1", "0")

    message_of(world)

    assert_stopped_and_closed(world)
    assert " down;" in (world.member() or "")


def test_an_operator_who_interrupts_leaves_nothing_half_started(world: World) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.instance.on_start = interrupt

    with pytest.raises(KeyboardInterrupt):
        run(world)

    assert_stopped_and_closed(world)


def test_after_a_failure_the_same_activation_succeeds(world: World) -> None:
    world.enforced = ("0-1", "0")
    message_of(world)

    world.enforced = None
    run(world)

    assert world.instance.status == "running"
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=1 max_fails=0;"


def test_an_instance_cannot_be_opened_in_a_balancer_that_is_not_there(
    world: World, golden: Callable[[str], str]
) -> None:
    world.serve_as_planned()
    del world.engine.machines[BALANCER]

    assert message_of(world) == golden("no_balancer")
