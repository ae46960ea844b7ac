"""
``python -m tests.engine.bench_hosts``: what more hosts add to a no-change preview.

Brings up a stack on one host and a stack on four, with one instance on each, and previews them in
turn, while all of them run. One host is this machine, which has the balancers; each other is a
Docker engine of its own with a network of its own. Needs root and about 5 GiB of memory.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.engine.private_daemon import PrivateDaemon, running
from tests.engine.stack import Stack, brought_up

HOSTS = 4
WITHIN = 1.5
"""What a preview of all hosts may cost, in previews of one."""


@contextmanager
def engine(number: int, folder: Path) -> Iterator[PrivateDaemon]:
    """Run a Docker engine of its own; the number tells it from the others."""
    daemon = PrivateDaemon(
        name=f"ovms-numa-b{number}",
        folder=folder / f"engine{number}",
        disk_mib=1536,
        address=f"10.123.1.{4 * number + 2}",
    )
    with running(daemon):
        yield daemon


def settings(daemons: list[PrivateDaemon]) -> dict[str, Any]:
    """Return the settings of a stack on this machine and on *daemons*."""
    octet = 124 + len(daemons)
    others = {
        f"far-{number}": {
            "docker": daemon.url,
            "address": daemon.address,
            "subnet": f"172.30.{octet}.{32 * number}/27",
        }
        for number, daemon in enumerate(daemons, 1)
    }
    return {
        "hosts": {"near": {"subnet": f"172.30.{octet}.0/27"}, **others},
        "placement": {"cores-per-instance": 1, "cpu-sharing": "allowed"},
        "balancer": {"host": "near", "port": 18140 + len(daemons)},
        "rollout": {"drain": False, "stop-timeout-s": 5},
    }


def stack_on(daemons: list[PrivateDaemon], folder: Path) -> Stack:
    """Return a stack on this machine and on *daemons*, which is not up yet."""
    return Stack(
        name=f"bench-{1 + len(daemons)}",
        folder=folder / f"stack{len(daemons)}",
        settings=settings(daemons),
    )


def time_preview(stack: Stack) -> float:
    """Return how long a preview with nothing to change takes, in seconds."""
    began = time.perf_counter()
    run = stack.preview("--expect-no-changes")
    took = time.perf_counter() - began
    if run.status:
        raise RuntimeError(run.output)
    return took


def main() -> int:
    """Measure, and print the report; fail where four hosts cost more than they may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="previews of each stack")
    runs = parser.parse_args().runs
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        daemons = [ends.enter_context(engine(number, folder)) for number in range(1, HOSTS)]
        stacks = {
            1 + len(some): ends.enter_context(brought_up(stack_on(some, folder)))
            for some in ([], daemons)
        }
        times = {count: [time_preview(stack)] for count, stack in stacks.items()}
        for _ in range(runs - 1):
            for count, stack in stacks.items():
                times[count].append(time_preview(stack))
    medians = {count: statistics.median(its) for count, its in times.items()}
    ratio = medians[HOSTS] / medians[1]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} CPUs, Python {platform.python_version()}, load {load}")
    for count, its in times.items():
        low, high = min(its), max(its)
        print(f"hosts {count}: {low:.1f} / {medians[count]:.1f} / {high:.1f} s (min/median/max)")
    print(f"{HOSTS} hosts cost {ratio:.2f} of one; at most {WITHIN}")
    return int(ratio > WITHIN)


if __name__ == "__main__":
    sys.exit(main())
