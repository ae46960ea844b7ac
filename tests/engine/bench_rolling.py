"""
``python -m tests.engine.bench_rolling``: what an update costs the requests that run meanwhile.

Brings up a stack of two instances on this machine, and changes one setting after the other while
12 clients ask without pause and 12 hold long streams. Nothing is sent twice: a request that is
refused, answered with another status than 200, or cut before its end is counted as lost.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.engine.bench_requests import about, publish
from tests.engine.rolling_changes import changes, copy_models, tagged
from tests.engine.rolling_load import Mix
from tests.engine.rolling_measure import measure
from tests.engine.rolling_report import Measured, render
from tests.engine.stack import Stack, brought_up
from tests.engine.test_up import INSTANCES, MODEL

MIX = Mix(clients=12, streams=12, short_tokens=16, long_tokens=200)
PORT = 18150

SETTINGS: dict[str, Any] = {
    "hosts": {"local": {"subnet": "172.30.116.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "models": {"names": [MODEL]},
    "balancer": {"port": PORT},
    "rollout": {"start-timeout-s": 300},
}
"""All else, the drain and its times too, is as any stack has it."""


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
                    measured, _ = measure(stack, change, now, MIX)
                    yield measured
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
    publish(render(measured, about()), [one.to_json() for one in measured], arguments.output)
    return int(any(one.lost for one in measured if not one.exempt))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
