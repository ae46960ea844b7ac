import threading
import time

import pytest

from lifecycle.drain import close_and_wait, drain
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.world import BALANCER, CONTAINER, MEMBER, NAME, World, write_sockets


@pytest.fixture(autouse=True)
def _serves(world: World) -> None:
    world.serve_as_planned()


def connect(world: World, count: int) -> None:
    write_sockets(world.proc, port=world.server.port, connections=count)


def wait(world: World, **changes: object) -> int | None:
    return close_and_wait(world.spec(**changes), world.link, world.said.append)


def test_an_idle_instance_is_closed_and_counted_three_times(world: World) -> None:
    begun = time.monotonic()

    assert wait(world) == 0

    assert time.monotonic() - begun > 0.1, "two pauses between three counts"
    assert world.calls == [f"{BALANCER}: copy in"]
    assert world.member() == f"server 127.0.0.1:{world.server.port} weight=1 max_fails=0 down;"
    assert world.told() == ["closed", "draining, none in flight", "drained after N s"]


def test_what_is_in_flight_is_waited_for(world: World) -> None:
    connect(world, 2)
    threading.Timer(0.3, connect, (world, 0)).start()
    begun = time.monotonic()

    assert wait(world) == 0

    assert 0.35 < time.monotonic() - begun < 30


def test_zeros_between_two_connections_do_not_end_the_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that waits in the server's queue, or comes from a worker that is going."""
    counts = [0, 0, 1, 0, 2, 0, 0, 0, 4]
    monkeypatch.setattr("lifecycle.proof.connections", lambda *_, **__: counts.pop(0))

    assert wait(world) == 0

    assert counts == [4], "the third zero in a row ends it, and none before"


def test_how_many_are_in_flight_is_told_at_once_and_when_it_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [7, 7, 7, 5, 5, 0, 2, 2, 0, 0, 0]
    monkeypatch.setattr("lifecycle.drain._TELL_EVERY_S", 0)
    monkeypatch.setattr("lifecycle.proof.connections", lambda *_, **__: counts.pop(0))

    wait(world)

    told = [words for words in world.said if words.startswith("draining")]
    assert told == [f"draining, {count} in flight" for count in (7, 5, 2)]


def test_changes_that_follow_each_other_closely_are_not_all_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    monkeypatch.setattr("lifecycle.proof.connections", lambda *_, **__: counts.pop(0))

    wait(world)

    assert world.told() == ["closed", "draining, 9 in flight", "drained after N s"]


def test_the_wait_has_a_bound_and_says_what_it_cut(world: World) -> None:
    connect(world, 3)

    assert wait(world, timeouts={"drain_s": 0}) == 3

    assert world.said[1:] == ["draining, 3 in flight", "drained, 3 connections cut after 0 s"]


def test_the_count_starts_once_replaced_workers_have_let_go_of_their_clients(world: World) -> None:
    spec = world.spec()
    late = spec.balancer.model_copy(update={"keepalive_min_s": 0.3})
    begun = time.monotonic()

    close_and_wait(spec.model_copy(update={"balancer": late}), world.link, world.said.append)

    assert time.monotonic() - begun > 0.4, "the counts follow the wait"
    assert world.said[1] == "draining, none in flight"


def test_the_instance_keeps_running(world: World) -> None:
    wait(world)

    assert world.instance.status == "running"


def test_an_instance_that_is_closed_already_is_not_closed_again(world: World) -> None:
    world.put_member(" down")

    assert wait(world) == 0

    assert world.calls == []


def test_an_instance_without_a_member_has_nothing_to_close(world: World) -> None:
    (world.volume / "current" / MEMBER).unlink()

    assert wait(world) == 0

    assert world.calls == []


def test_with_the_drain_off_it_is_closed_and_nothing_is_waited_for(world: World) -> None:
    connect(world, 3)

    assert wait(world, drain=False) == 0

    assert " down;" in (world.member() or "")
    assert world.said == ["closed"]


@pytest.mark.parametrize("gone", ["removed", "exited"])
def test_an_instance_that_does_not_run_is_closed_and_counts_as_drained(
    world: World, gone: str
) -> None:
    connect(world, 3)
    world.instance.status = gone
    if gone == "removed":
        del world.engine.machines[CONTAINER]

    assert wait(world) == 0

    assert " down;" in (world.member() or "")
    assert world.said == ["closed"]


def test_an_instance_that_goes_away_while_it_drains_counts_as_drained(world: World) -> None:
    connect(world, 3)
    gone = refusal(f"container {CONTAINER} is not running", 409)
    threading.Timer(0.1, world.instance.refusals.update, [{"exec": gone}]).start()

    assert wait(world) == 0


def test_a_count_that_fails_is_told_once_and_tried_again(world: World) -> None:
    """A failed count is no zero: the instance may be at work."""
    connect(world, 2)
    world.instance.refusals["exec"] = refusal("OCI runtime exec failed: resource busy")
    threading.Timer(0.3, world.instance.refusals.clear).start()
    threading.Timer(0.6, connect, (world, 0)).start()
    begun = time.monotonic()

    assert wait(world) == 0

    assert time.monotonic() - begun > 0.6
    assert world.told() == [
        "closed",
        "what it has in flight cannot be counted: OCI runtime exec failed: resource busy",
        "draining, 2 in flight",
        "drained after N s",
    ]


def test_counts_that_fail_to_the_end_are_told_as_unknown_and_not_as_none_in_flight(
    world: World,
) -> None:
    world.instance.refusals["exec"] = refusal("container 1234 is paused", 409)

    assert drain(world.spec(timeouts={"drain_s": 0}), world.said.append) == {
        "instance": NAME,
        "cut": None,
    }

    assert world.said[-1] == "what it still has in flight after 0 s is not known"
    assert not any("drained" in words for words in world.said)


def test_where_there_is_no_balancer_nothing_is_in_flight(world: World) -> None:
    del world.engine.machines[BALANCER]

    assert wait(world) == 0

    assert (world.calls, world.said) == ([], [])


def test_in_a_balancer_at_rest_an_instance_is_closed_and_not_waited_for(world: World) -> None:
    """Else it would be open when the balancer starts, whatever became of it."""
    connect(world, 3)
    world.balancer.status = "exited"

    assert wait(world) == 0

    assert " down;" in (world.member() or "")
    assert world.said == ["closed"]


def test_in_a_balancer_at_rest_an_instance_that_is_closed_already_stays_so(world: World) -> None:
    world.put_member(" down")
    world.balancer.status = "exited"

    assert wait(world) == 0

    assert (world.calls, world.said) == ([], ["closed"])


def test_a_drained_instance_has_no_member_file_any_more(world: World) -> None:
    result = drain(world.spec(), world.said.append)

    assert result == {"instance": NAME, "cut": 0}
    assert world.member() is None
    assert (world.volume / "loaded").read_text().strip() == "gen-3", "closed, then taken out"


def test_the_result_of_a_drain_says_what_was_cut(world: World) -> None:
    connect(world, 2)

    result = drain(world.spec(timeouts={"drain_s": 0}), world.said.append)

    assert result == {"instance": NAME, "cut": 2}


def test_a_drain_without_a_balancer_has_nothing_to_do(world: World) -> None:
    del world.engine.machines[BALANCER]

    assert drain(world.spec(), world.said.append) == {"instance": NAME, "cut": 0}
    assert world.calls == []


def test_a_balancer_that_is_at_rest_loses_the_member_file_too(world: World) -> None:
    """It would not start again with the member of an instance that is gone."""
    world.balancer.status = "exited"

    drain(world.spec(), world.said.append)

    assert world.member() is None
    assert world.calls == ["helper: copy in", "helper: start", "helper: remove by force"] * 2
