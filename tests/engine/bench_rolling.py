"""
``python -m tests.engine.bench_rolling``: what an update costs the requests that run meanwhile.

Brings up a stack of two instances on this machine, and changes one setting after the other while
12 clients ask without pause and 12 hold long streams. Nothing is sent twice: a request that is
refused, answered with another status than 200, or cut before its end is counted as lost.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.load import Connections, Load
from bench.record import Record
from bench.run import Run, Stop, Watch, run
from bench.synthetic import random_prompts
from tests.engine.rolling_changes import Change, Settings, changes, copy_models, tagged
from tests.engine.rolling_report import Measured, Request, about, render
from tests.engine.rolling_watch import Openness
from tests.engine.stack import Stack, brought_up
from tests.engine.test_up import INSTANCES, MODEL

CLIENTS = 12
STREAMS = 12
SHORT_TOKENS = 16
LONG_TOKENS = 200
PACED = (3.0, 0.3)
"""Short requests and streams that begin in a second, where clients would else ask a balancer that
is away thousands of times."""
PORT = 18150

SETTINGS: dict[str, Any] = {
    "hosts": {"local": {"subnet": "172.30.116.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "models": {"names": [MODEL]},
    "balancer": {"port": PORT},
    "rollout": {"start-timeout-s": 300},
}
"""All else, the drain and its times too, is as any stack has it."""


class Clients:
    """The load on a stack, in one event loop: short requests and long streams."""

    def __init__(self, endpoint: str, *, pooled: bool, paced: bool) -> None:
        how = Connections.POOLED if pooled else Connections.NEW
        url = f"{endpoint}/chat/completions"
        rates = PACED if paced else (math.inf, math.inf)
        self._loads = tuple(
            Load(
                url=url,
                model=MODEL,
                prompts=random_prompts(500, seed, inputs=24, outputs=tokens),
                repeat=True,
                request_rate=rate,
                seed=seed,
                max_concurrency=count,
                connections=connections,
                # What is in flight at the end is waited for, so that none of it goes uncounted.
                grace_s=600,
                ignore_eos=True,
            )
            for seed, (tokens, count, connections, rate) in enumerate(
                (
                    (SHORT_TOKENS, CLIENTS, how, rates[0]),
                    (LONG_TOKENS, STREAMS, Connections.POOLED, rates[1]),
                )
            )
        )
        self._stop = Stop()
        self._answered: dict[str, int] = {}
        self._running: list[asyncio.Task[Run]] = []

    def start(self) -> None:
        """Begin to ask."""
        watch = Watch(ended=self._count)
        self._running = [asyncio.create_task(run(load, self._stop, watch)) for load in self._loads]

    async def until_all_answer(self, count: int) -> None:
        """Wait until *count* instances have answered since this was called."""
        self._answered.clear()
        while len(self._answered) < count:
            for one in self._running:
                if one.done():
                    one.result()
            await asyncio.sleep(0.1)

    async def end(self) -> list[Record]:
        """Ask no more, wait for what is in flight, and return all requests."""
        self._stop.beginning.set()
        runs = await asyncio.gather(*self._running)
        return [record for one in runs for record in one.records]

    def _count(self, record: Record) -> None:
        if not record.failed and record.instance:
            self._answered[record.instance] = self._answered.get(record.instance, 0) + 1


async def measure(stack: Stack, change: Change, now: dict[str, dict[str, Any]]) -> Measured:
    """
    Bring *change* up on *stack* while clients ask.

    Args:
        stack: which serves.
        change: what is done.
        now: the changes that were made before, which *change* is added to.
    """
    clients = Clients(stack.outputs()["endpoint"], pooled=change.pooled, paced=change.exempt)
    clients.start()
    await clients.until_all_answer(_planned(now))
    with Openness(stack) as openness:
        for settings in change.settings:
            _lay(settings, over=now)
            stack.configure(now)
            done = await asyncio.to_thread(stack.up)
            if done.status:
                raise RuntimeError(done.output)
    if not change.exempt:
        await clients.until_all_answer(_planned(now))
    records = await clients.end()
    return Measured(
        name=change.name,
        pooled=change.pooled,
        exempt=change.exempt,
        update_s=openness.seconds,
        least_open=openness.least,
        instances=openness.most,
        requests=tuple(Request.of(record, openness.began) for record in records),
    )


def _planned(now: Mapping[str, Mapping[str, Any]]) -> int:
    return int(now.get("placement", {}).get("instances-per-node", len(INSTANCES)))


def _lay(settings: Settings, *, over: dict[str, dict[str, Any]]) -> None:
    for section, values in settings.items():
        over[section] = {**over.get(section, {}), **values}


def measure_all(folder: Path, only: Sequence[str]) -> Iterator[Measured]:
    """Measure each change whose name begins with one of *only*; all where there is none."""
    with (
        brought_up(
            Stack(name="bench-rolling", folder=folder / "stack", settings=dict(SETTINGS))
        ) as stack,
        tagged(stack, INSTANCES[0], 4) as images,
        tagged(stack, "balancer", 1) as (nginx,),
    ):
        now: dict[str, dict[str, Any]] = {}
        try:
            for change in changes(images, nginx, copy_models(stack, folder)):
                if not only or change.name.startswith(tuple(only)):
                    yield asyncio.run(measure(stack, change, now))
        finally:
            # So that no container has one of the images that are removed now.
            stack.configure({})
            stack.up()


def main(argv: Sequence[str]) -> int:
    """Measure, and write the report and its raw numbers; 1 where a request was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine.bench_rolling")
    parser.add_argument("--output", type=Path, help="the report to write; left out: print it")
    parser.add_argument("--only", nargs="+", default=[], help="changes that begin so")
    arguments = parser.parse_args(argv)
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="bench-rolling") as folder:
        for one in measure_all(Path(folder), arguments.only):
            measured.append(one)
            print(one.in_words(), file=sys.stderr, flush=True)
    report = render(measured, about())
    if arguments.output is None:
        sys.stdout.write(report)
    else:
        arguments.output.write_text(report)
        raw = [one.to_json() for one in measured]
        arguments.output.with_suffix(".json").write_text(json.dumps(raw) + "\n")
    return int(any(one.lost for one in measured if not one.exempt))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
