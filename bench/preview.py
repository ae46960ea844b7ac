"""
``python -m bench.preview``: how long a no-change preview takes, by number of instances.

Every host is the two-socket machine of `hosts/dual-socket.json` behind an SSH address that no name
server knows, so that what is timed is the program, the planner, the engine and its providers, and
one OpenSSH client a host that gives up.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.state import settle
from planner.placement import plan
from planner.settings import parse_settings
from planner.topology import HostTopology

ROOT = Path(__file__).parents[1]
TOPOLOGY = "hosts/dual-socket.json"
STACK = "bench-preview"

SIZES = {2: (1, 1), 8: (1, 4), 16: (2, 4), 32: (4, 4), 128: (16, 4)}
"""Hosts and instances on each of their two NUMA nodes, by the number of all instances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """
    One line of the table.

    Attributes:
        instances: of the stack.
        hosts: of the stack.
        resources: in its state.
        planner_ms: the plan alone, the median of all runs, in milliseconds.
        previews_s: every preview, in seconds.
    """

    instances: int
    hosts: int
    resources: int
    planner_ms: float
    previews_s: tuple[float, ...]


def settings_of(hosts: int, per_node: int) -> dict[str, Any]:
    """Return the settings of a stack with *per_node* instances on each node of *hosts* hosts."""
    return {
        "hosts": {
            f"host-{number:02}": {
                "docker": f"ssh://operator@host-{number:02}.example",
                "topology": TOPOLOGY,
                "address": f"10.0.0.{number + 1}",
            }
            for number in range(hosts)
        },
        "placement": {"instances-per-node": per_node},
        "server": {"image": "openvino/model_server:2026.3"},
        "models": {"directory": "/srv/models", "names": ["llama-3-8b-instruct"]},
        "balancer": {"host": "host-00", "image": "nginx:1.30"},
    }


class Bench:
    """A stack with a state of its own, which is only previewed."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        (folder / "state").mkdir()
        dev = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
        self._file = folder / "stack.yaml"
        text = {
            "encryptionsalt": dev["encryptionsalt"],
            "config": {"ovms-numa:settings": dict(settings)},
        }
        self._file.write_text(yaml.safe_dump(text))
        beside = ROOT / f"Pulumi.{STACK}.yaml"
        if beside.exists():
            raise RuntimeError(f"{beside} is there, which this would remove; move it away")
        self._pulumi("stack", "init", STACK, "--no-select")
        # The command line writes one beside the project's own, and takes no other place for it.
        beside.unlink()

    def preview(self, *arguments: str) -> str:
        """Run a preview and return what it printed."""
        return self._pulumi(
            "preview", "--stack", STACK, "--config-file", str(self._file), *arguments
        )

    def settle(self) -> int:
        """Make the state that the preview has nothing to change; return its resources' number."""
        return settle(lambda: dict(json.loads(self.preview("--json"))), self._store)

    def _store(self, deployment: dict[str, Any]) -> None:
        file = self._folder / "deployment.json"
        file.write_text(json.dumps({"version": 3, "deployment": deployment}))
        self._pulumi("stack", "import", "--stack", STACK, "--file", str(file))

    def _pulumi(self, *arguments: str) -> str:
        environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{self._folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
        }
        done = subprocess.run(  # noqa: S603 (a fixed command line)
            ["pulumi", *arguments, "--non-interactive"],  # noqa: S607 (`make` puts it on PATH)
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"pulumi {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


def time_planner(settings: Mapping[str, Any], runs: int) -> float:
    """Return how long the plan of *settings* takes, in milliseconds: the median of *runs*."""
    parsed = parse_settings(settings, "bench")
    topology = HostTopology.from_json(json.loads((ROOT / TOPOLOGY).read_text()), TOPOLOGY)
    topologies = dict.fromkeys(parsed.hosts, topology)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        plan(parsed, topologies)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def measure(instances: int, runs: int) -> Timed:
    """Time *runs* no-change previews of a stack of that many *instances*."""
    hosts, per_node = SIZES[instances]
    settings = settings_of(hosts, per_node)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), settings)
        resources = bench.settle()
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            bench.preview("--expect-no-changes")
            times.append(time.perf_counter() - began)
    return Timed(
        instances=instances,
        hosts=hosts,
        resources=resources,
        planner_ms=time_planner(settings, runs),
        previews_s=tuple(times),
    )


def render(lines: Sequence[Timed]) -> str:
    """Render the report as Markdown."""
    processors = len(os.sched_getaffinity(0))
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    version = subprocess.run(
        ["pulumi", "version"],  # noqa: S607 (`make` puts it on PATH)
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    head = [
        "# Times of a no-change preview",
        "",
        "`make bench-preview` writes this page.",
        "Every host is the two-socket machine of `hosts/dual-socket.json`, and none is reached.",
        "The state is made from what previews say that an update would register.",
        "All instances of a stack are in one chain, each waiting for the one before it.",
        "",
        f"Machine: {processors} CPUs, Python {platform.python_version()}, Pulumi {version}, "
        f"load at the end {load} (1, 5, 15 minutes).",
        "",
        "| instances | hosts | resources | planner alone, ms | preview, s: min / median / max |",
        "|---|---|---|---|---|",
    ]
    for one in lines:
        low, middle, high = (f(one.previews_s) for f in (min, statistics.median, max))
        head.append(
            f"| {one.instances} | {one.hosts} | {one.resources} | {one.planner_ms:.1f} "
            f"| {low:.1f} / {middle:.1f} / {high:.1f} |"
        )
    return "\n".join([*head, ""])


def main(argv: Sequence[str]) -> int:
    """Time previews and print the report, or write it."""
    parser = argparse.ArgumentParser(prog="python -m bench.preview", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="previews of each stack")
    parser.add_argument(
        "--instances", type=int, choices=SIZES, nargs="+", default=list(SIZES), help="which stacks"
    )
    parser.add_argument("--output", type=Path, help="the file to write; left out: print it")
    arguments = parser.parse_args(argv)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for instances in arguments.instances:
        lines.append(measure(instances, arguments.runs))
        print(f"{instances} instances: {lines[-1].previews_s}", file=sys.stderr, flush=True)
    report = render(lines)
    if arguments.output is None:
        sys.stdout.write(report)
    else:
        arguments.output.write_text(report)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
