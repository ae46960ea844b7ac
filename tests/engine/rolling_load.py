"""The load under which updates and faults are measured: short requests and long streams."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from bench.load import Connections, Load
from bench.record import End, Record
from bench.run import Run, Stop, Watch, run
from bench.synthetic import random_prompts
from tests.engine.test_up import MODEL

PACED = (3.0, 0.3)
"""Short requests and streams that begin in a second, where clients would else ask a balancer that
is away thousands of times."""

_POLL_S = 0.1
_WITHIN_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """
    Who asks how much.

    Attributes:
        clients: that ask short questions, each without pause.
        streams: long answers at once, each followed by the next.
        short_tokens: of each short answer.
        long_tokens: of each long one.
    """

    clients: int
    streams: int
    short_tokens: int
    long_tokens: int


LIGHT = Mix(clients=4, streams=2, short_tokens=16, long_tokens=100)
"""For tests: enough that an instance is never without a request."""


class Clients:
    """
    Asks a stack in a thread of its own from the beginning to the end of a block.

    Nothing is sent twice: a request that is refused, answered with another status than 200, or cut
    before its end is lost.
    """

    def __init__(
        self,
        endpoint: str,
        mix: Mix,
        *,
        pooled: bool = True,
        paced: bool = False,
        model: str = MODEL,
        timeout_s: float | None = None,
        pause_s: float = 0,
    ) -> None:
        """
        Make the clients.

        Args:
            endpoint: where they ask.
            mix: who asks how much.
            pooled: whether short requests share connections.
            paced: whether requests begin at the pace of `PACED`.
            model: that is asked.
            timeout_s: the longest that a whole answer is waited for; None: as long as it takes.
            pause_s: how long a client waits after a failed request.
        """
        rates = PACED if paced else (math.inf, math.inf)
        kinds = (
            (mix.short_tokens, mix.clients, Connections.POOLED if pooled else Connections.NEW),
            (mix.long_tokens, mix.streams, Connections.POOLED),
        )
        self._loads = tuple(
            Load(
                url=f"{endpoint}/chat/completions",
                model=model,
                prompts=random_prompts(500, seed, inputs=24, outputs=tokens),
                repeat=True,
                request_rate=rate,
                seed=seed,
                max_concurrency=count,
                connections=connections,
                timeout_s=timeout_s,
                pause_s=pause_s,
                # What is in flight at the end is waited for, so that none of it goes uncounted.
                grace_s=600,
                ignore_eos=True,
            )
            for seed, (rate, (tokens, count, connections)) in enumerate(
                zip(rates, kinds, strict=True)
            )
            if count
        )
        self._loop = asyncio.new_event_loop()
        self._stop = Stop()
        self._answered: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._runs: Future[list[Run]]

    def __enter__(self) -> "Clients":
        self._runs = self._thread.submit(self._loop.run_until_complete, self._ask())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._set(self._stop.beginning)
        self._set(self._stop.waiting)
        self._thread.shutdown()
        self._loop.close()

    def until_all_answer(self, count: int) -> None:
        """Wait until *count* instances have answered since this was called."""
        self._answered.clear()
        self._wait(lambda: len(self._answered) >= count)

    def until_answers(self, count: int) -> None:
        """Wait until *count* more requests were answered."""
        self._answered.clear()
        self._wait(lambda: self._answered.total() >= count)

    def end(self, *, cut: bool = False) -> list[Record]:
        """
        Ask no more, wait for what is in flight, and return all requests.

        Args:
            cut: what is in flight is not waited for: `bench.record.End.STOPPED`.
        """
        self._set(self._stop.beginning)
        if cut:
            self._set(self._stop.waiting)
        return [record for one in self._runs.result() for record in one.records]

    async def _ask(self) -> list[Run]:
        watch = Watch(ended=self._count)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(load, self._stop, watch)) for load in self._loads]
        return [task.result() for task in tasks]

    def _set(self, event: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(event.set)

    def _wait(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _WITHIN_S
        while not happened():
            if self._runs.done():
                self._runs.result()
            if time.monotonic() > deadline:
                raise TimeoutError(f"within {_WITHIN_S} s only these answered: {self._answered}")
            time.sleep(_POLL_S)

    def _count(self, record: Record) -> None:
        if not record.failed and record.instance:
            self._answered[record.instance] += 1


def lost(records: Iterable[Record]) -> list[str]:
    """Say of each request that did not end well how it ended."""
    return [f"{one.end}: {one.error}" for one in records if one.end is not End.DONE]
