"""One run: requests are begun when they are due, and all of them are waited for."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import aiohttp

from bench.client import Used, ask, open_session
from bench.dataset import Prompt
from bench.load import Load
from bench.open_files import allow_connections
from bench.record import Record
from bench.traffic import arrivals


class EndedBy(StrEnum):
    """Why no further request was begun; not how the last one ended."""

    PROMPTS = "prompts"
    """All of them were."""

    DURATION = "duration"
    """The time was over."""

    STOP = "stop"
    """Whoever runs it said so."""


@dataclass(frozen=True, slots=True)
class Stop:
    """
    Ends a run from outside; each event may be set at any time, in the run's own event loop.

    Attributes:
        beginning: no request is begun any more; those in flight have the grace to end.
        waiting: those in flight are cut too.
    """

    beginning: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Watch:
    """
    Is told of a run while it goes on.

    Attributes:
        started: a request is begun.
        ended: one ended, whatever became of it.
        stopping: no further one is begun; how many are still in flight.
    """

    started: Callable[[], None] = lambda: None
    ended: Callable[[Record], None] = lambda _: None
    stopping: Callable[[int], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    What came of a run.

    Attributes:
        records: of all requests that were begun, in that order.
        planned: how many were to be begun; None: no number.
        ended_by: why no further one was.
        date: the wall clock's time at the beginning.
        began: the same of `time.monotonic`, as in the records.
        duration_s: from the beginning to the end of the last request.
        opened: connections that were made.
        reused: requests that went over a connection that was there.
        client_cpu_s: CPU time that this process took meanwhile; it has one CPU at most.
    """

    records: tuple[Record, ...]
    planned: int | None
    ended_by: EndedBy
    date: datetime
    began: float
    duration_s: float
    opened: int
    reused: int
    client_cpu_s: float


async def run(load: Load, stop: Stop | None = None, watch: Watch | None = None) -> Run:
    """
    Put *load* on its server, and return what became of every request.

    It ends when all requests have, or when the duration is over or *stop* says so: then no further
    request is begun, those in flight have `Load.grace_s` to end, and what is left is cut. Where
    the caller is cancelled, all requests are cut and nothing is returned.

    Raises:
        LoadError: this process may not have as many connections as are needed.
    """
    allow_connections(load.most_at_once)
    used, date = Used(), datetime.now(UTC).astimezone()
    began, cpu_before_s = time.monotonic(), time.process_time()
    async with open_session(load, used) as session:
        course = _Course(load, session, watch or Watch())
        ended_by = await course.complete(stop or Stop())
    return Run(
        records=tuple(sorted(course.records, key=lambda one: one.index)),
        planned=load.planned,
        ended_by=ended_by,
        date=date,
        began=began,
        duration_s=max((one.ended for one in course.records), default=began) - began,
        opened=used.opened,
        reused=used.reused,
        client_cpu_s=time.process_time() - cpu_before_s,
    )


class _Course:
    def __init__(self, load: Load, session: aiohttp.ClientSession, watch: Watch) -> None:
        self.records: list[Record] = []
        self._load, self._session, self._watch = load, session, watch
        self._in_flight: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room = asyncio.Semaphore(load.max_concurrency) if load.max_concurrency else None

    async def complete(self, stop: Stop) -> EndedBy:
        """Go through the whole course, or through what *stop* leaves of it."""
        everything = asyncio.create_task(self._everything())
        try:
            ended_by = await self._first(everything, stop)
            if ended_by is not EndedBy.PROMPTS:
                await _cancel(everything)
                self._watch.stopping(len(self._in_flight))
                await _either(self._rest(), stop.waiting.wait(), self._load.grace_s)
            if self._broken.done():
                self._broken.result()
            return ended_by
        finally:
            await _cancel(everything, *self._in_flight)
            self._broken.cancel()

    async def _first(self, everything: asyncio.Task[None], stop: Stop) -> EndedBy:
        """Wait until everything is done, or ends before."""
        stopped = asyncio.create_task(stop.beginning.wait())
        awaited: set[asyncio.Future[Any]] = {everything, stopped, self._broken}
        try:
            done, _ = await asyncio.wait(
                awaited, timeout=self._load.duration_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await _cancel(stopped)
        if self._broken in done:
            self._broken.result()
        if everything in done:
            await everything
            return EndedBy.PROMPTS
        return EndedBy.STOP if stopped in done else EndedBy.DURATION

    async def _everything(self) -> None:
        began = time.monotonic()
        due_times = arrivals(self._load.request_rate, self._load.seed)
        for index, (prompt, due) in enumerate(zip(self._load.questions(), due_times, strict=False)):
            if (ahead := began + due - time.monotonic()) > 0:
                await asyncio.sleep(ahead)
            if self._room is not None:
                await self._room.acquire()
            task = asyncio.create_task(self._one(index, prompt))
            self._in_flight.add(task)
            task.add_done_callback(self._over)
        await self._rest()

    async def _one(self, index: int, prompt: Prompt) -> None:
        self._watch.started()
        record = await ask(self._session, self._load, index, prompt)
        self.records.append(record)
        self._watch.ended(record)
        if record.failed and self._load.pause_s:
            await asyncio.sleep(self._load.pause_s)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._room is not None:
            self._room.release()
        # What a server does is in the record: this is a fault of this program, or of its watch.
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)

    async def _rest(self) -> None:
        if self._in_flight:
            await asyncio.wait(self._in_flight)


async def _either(
    one: Coroutine[Any, Any, object], other: Coroutine[Any, Any, object], timeout_s: float
) -> None:
    """Wait until one of them is done, or the time is over."""
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(*tasks)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
