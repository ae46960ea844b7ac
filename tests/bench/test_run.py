"""A run as a whole: what is begun when, how many at once, and how it ends."""

import asyncio
import math
from itertools import islice
from typing import Any

import pytest

from bench import run as run_module
from bench.load import Load, LoadError
from bench.record import End, Record
from bench.run import EndedBy, Run, Stop, Watch, run
from bench.traffic import arrivals
from tests.bench.loads import PROMPT, load, ran
from tests.bench.scripted_server import Script, Server, serving

QUICK = Script(delays_s=(0.0,))
ENDLESS = Script(silent=True)


def stopped_when(
    script: Script, begun: int, stop: Stop, *, cut: bool = False, **more: Any
) -> tuple[Server, Run, list[int]]:
    """Stop a run of 4 prompts when so many are begun; with *cut*, those in flight too."""
    in_flight: list[int] = []
    started = iter(range(1, 1000))

    def end() -> None:
        if next(started) == begun:
            stop.beginning.set()
            if cut:
                stop.waiting.set()

    async def serve() -> tuple[Server, Run]:
        async with serving(script) as server:
            watch = Watch(started=end, stopping=in_flight.append)
            return server, await run(load(server.url, 4, **more), stop, watch)

    server, outcome = asyncio.run(serve())
    return server, outcome, in_flight


def test_all_requests_are_in_flight_at_once_and_none_is_refused() -> None:
    """The server answers nobody before all have come, and has room for few that knock."""

    async def serve() -> tuple[Server, Run]:
        async with serving(QUICK, held=100, backlog=32) as server:
            return server, await run(load(server.url, 100))

    server, outcome = asyncio.run(serve())

    assert server.most == server.connections == 100
    assert [one.end for one in outcome.records] == [End.DONE] * 100
    assert outcome.ended_by is EndedBy.PROMPTS


def test_no_more_are_in_flight_than_there_may_be() -> None:
    server, outcome = ran(Script(delays_s=(0.02, 0.0)), 20, max_concurrency=4, held=4)

    assert server.most == 4
    assert len(outcome.records) == 20


def test_requests_are_begun_when_the_seed_says() -> None:
    _, outcome = ran(QUICK, 10, request_rate=50.0, seed=7)

    due = list(islice(arrivals(50.0, 7), 10))
    begun = [one.started - outcome.began for one in outcome.records]
    assert due[-1] > 0
    assert all(at >= then for at, then in zip(begun, due, strict=True))
    assert begun == sorted(begun)


def test_records_are_in_the_order_of_beginning_whatever_ends_first() -> None:
    _, outcome = ran(lambda number: Script(delays_s=(0.2 if number == 0 else 0.0,)), 3)

    assert [one.index for one in outcome.records] == [0, 1, 2]


def test_a_failure_leaves_the_others_alone() -> None:
    _, outcome = ran(lambda number: Script(status=503) if number % 2 else QUICK, 6)

    assert sorted(one.end for one in outcome.records) == [End.DONE] * 3 + [End.STATUS] * 3


def test_after_a_failure_its_place_stays_empty_for_a_while() -> None:
    more: dict[str, Any] = {"repeat": True, "max_concurrency": 2, "duration_s": 0.3, "grace_s": 0.0}

    _, outcome = ran(Script(status=503), 1, pause_s=60.0, **more)
    _, undisturbed = ran(QUICK, 1, pause_s=60.0, **more)

    assert [one.end for one in outcome.records] == [End.STATUS] * 2
    assert len(undisturbed.records) > 2


def test_prompts_are_repeated_until_the_time_is_over() -> None:
    server, outcome = ran(QUICK, 2, repeat=True, max_concurrency=1, duration_s=0.3)

    assert outcome.ended_by is EndedBy.DURATION
    assert outcome.planned is None
    assert len(outcome.records) == len(server.bodies)
    assert [one.end for one in outcome.records] == [End.DONE] * len(outcome.records)
    assert all(one.started - outcome.began < outcome.duration_s for one in outcome.records)


def test_what_is_in_flight_when_the_time_is_over_may_end() -> None:
    _, outcome = ran(Script(delays_s=(0.5, 0.0)), 3, duration_s=0.1, max_concurrency=2)

    assert outcome.ended_by is EndedBy.DURATION
    assert [one.end for one in outcome.records] == [End.DONE] * 2
    assert outcome.planned == 3


def test_what_has_not_ended_within_the_grace_is_cut_and_no_failure() -> None:
    _, outcome = ran(ENDLESS, 2, duration_s=0.1, grace_s=0.1)

    assert [one.end for one in outcome.records] == [End.STOPPED] * 2
    assert [one.failed for one in outcome.records] == [False] * 2
    assert all(one.ended - one.started >= 0.1 for one in outcome.records)


def test_a_stop_lets_what_is_in_flight_end_and_begins_nothing_further() -> None:
    server, outcome, in_flight = stopped_when(Script(delays_s=(0.3,)), 2, Stop(), max_concurrency=2)

    assert outcome.ended_by is EndedBy.STOP
    assert in_flight == [2]
    assert [one.end for one in outcome.records] == [End.DONE] * 2
    assert len(server.bodies) == 2


def test_a_stop_of_waiting_cuts_what_is_in_flight() -> None:
    _, outcome, _ = stopped_when(ENDLESS, 4, Stop(), cut=True)

    assert [one.end for one in outcome.records] == [End.STOPPED] * 4


def test_whoever_runs_it_may_cancel_it_and_no_connection_stays() -> None:
    async def cancelled() -> Server:
        async with serving(Script(delays_s=(0.0, *(0.05,) * 600))) as server:
            running = asyncio.create_task(run(load(server.url, 3)))
            while len(server.sent) < 3:
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            while server.in_flight:
                await asyncio.sleep(0.01)
            return server

    assert asyncio.run(cancelled()).left == 3


def test_a_run_tells_of_each_request_that_begins_and_ends() -> None:
    begun: list[None] = []
    ended: list[Record] = []

    async def watched() -> Run:
        async with serving(QUICK) as server:
            watch = Watch(started=lambda: begun.append(None), ended=ended.append)
            return await run(load(server.url, 3), watch=watch)

    outcome = asyncio.run(watched())

    assert len(begun) == 3
    assert sorted(ended, key=lambda one: one.index) == list(outcome.records)


@pytest.mark.parametrize(
    "more", [{}, {"max_concurrency": 1}, {"max_concurrency": 1, "repeat": True}]
)
def test_a_fault_of_the_client_itself_ends_the_run_and_is_raised(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    async def broken(*_: object) -> Record:
        raise ZeroDivisionError

    monkeypatch.setattr(run_module, "ask", broken)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run(load(count=2, **more)))


def test_a_load_without_prompts_is_refused() -> None:
    with pytest.raises(LoadError, match="no prompts"):
        load(count=0)


def test_prompts_that_would_all_be_sent_at_once_without_end_are_refused() -> None:
    with pytest.raises(LoadError, match=r"without end\. Give --max-concurrency"):
        Load(url="", model="m", prompts=(PROMPT,), repeat=True)

    assert load(repeat=True, max_concurrency=1).planned is None
    assert load(repeat=True, request_rate=1.0).request_rate < math.inf


@pytest.mark.parametrize(
    ("count", "more", "most"),
    [
        (2000, {}, 2000),
        (2000, {"max_concurrency": 8}, 8),
        (5, {"max_concurrency": 8}, 5),
        (5, {"max_concurrency": 8, "repeat": True}, 8),
    ],
)
def test_as_many_connections_are_provided_for_as_there_can_be(
    count: int, more: dict[str, Any], most: int
) -> None:
    assert load(count=count, **more).most_at_once == most
