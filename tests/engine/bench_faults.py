"""
``python -m tests.engine.bench_faults``: what faults cost the requests that run meanwhile.

Brings up a stack of two instances on this machine, strikes it, and lets it heal by itself, while
12 clients ask without pause and 12 hold long streams. Nothing is sent twice: a request that is
refused, answered with another status than 200, or cut before its end is counted as lost.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.engine.bench_requests import about, publish
from tests.engine.bench_rolling import MIX
from tests.engine.faults import Fault, faults, queue
from tests.engine.faults_goals import verdicts
from tests.engine.faults_measure import measure
from tests.engine.faults_measured import Measured
from tests.engine.faults_report import render
from tests.engine.faults_site import Site
from tests.engine.rolling_load import Mix
from tests.engine.stack import Stack, brought_up
from tests.engine.test_up import MODEL

RUNS = 3
QUEUED = 72
"""Requests that wait where each of two instances computes two at once."""

SETTINGS: dict[str, Any] = {
    "hosts": {"local": {"subnet": "172.30.117.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "server": {"flags": {"load-delay": 30, "faults": True}},
    "models": {"names": [MODEL]},
    "balancer": {"port": 18160},
    "rollout": {"start-timeout-s": 300},
}
"""All else, the watcher's times and the limit of memory too, is as any stack has it."""


def settings_of(fault: Fault) -> Mapping[str, Mapping[str, Any]]:
    """Return what differs from SETTINGS while *fault* is measured."""
    changes: dict[str, dict[str, Any]] = {
        "balancer": {"retry": fault.what.retry},
        "placement": {"instances-per-node": fault.what.instances},
    }
    if fault.what.queues:
        changes["server"] = {"max-concurrency": 2, "flags": {"faults": True}}
    return changes


def mix_of(fault: Fault) -> Mix:
    """Return who asks meanwhile."""
    return replace(MIX, clients=0, streams=QUEUED) if fault.what.queues else MIX


def chosen(only: Sequence[str], runs: int) -> Iterator[Fault]:
    """Yield each fault as often as it is run; where *only* names some, those that begin so."""
    for fault in (*faults(), queue()):
        if not only or fault.what.name.startswith(tuple(only)):
            yield from [fault] * (1 if fault.what.queues else runs)


def measure_all(stack: Stack, only: Sequence[str], runs: int) -> Iterator[Measured]:
    """Strike *stack* with each fault that is chosen; where it does not heal, it is repaired."""
    before: Mapping[str, Mapping[str, Any]] = {}
    healed = True
    for fault in chosen(only, runs):
        settings = settings_of(fault)
        if settings != before or not healed:
            stack.configure(settings)
            done = stack.up()
            if done.status:
                raise RuntimeError(done.output)
        before = settings
        measured = measure(Site(stack), fault, mix_of(fault))
        healed = measured.healed_s is not None
        yield measured


def main(argv: Sequence[str]) -> int:
    """Measure, and write the report and its raw numbers; 1 where a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine.bench_faults")
    parser.add_argument("--output", type=Path, help="the report to write; left out: print it")
    parser.add_argument("--only", nargs="+", default=[], help="faults that begin so")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each fault")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    measured: list[Measured] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-faults") as folder,
        brought_up(
            Stack(name="bench-faults", folder=Path(folder) / "stack", settings=dict(SETTINGS))
        ) as stack,
    ):
        try:
            for one in measure_all(stack, arguments.only, arguments.runs):
                measured.append(one)
                print(one.in_words(), file=sys.stderr, flush=True)
        finally:
            # Also where a fault could not be made: what there is took long enough.
            goals = verdicts(measured, Site(stack).sockets())
            took = f"`make bench-faults` took {(time.monotonic() - began) / 60:.0f} minutes."
            raw = [one.to_json() for one in measured]
            publish(render(measured, goals, (about(), took)), raw, arguments.output)
    return int(any(goal.met is False for goal in goals))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
