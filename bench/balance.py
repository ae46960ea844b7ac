"""
``python -m bench.balance``: how evenly Nginx spreads requests, as OVMS's demo has it and as here.

The balancers run side by side in containers of the same image, in front of the same scripted
servers, and the same clients ask each of them in turn.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, product
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.request import urlopen

import docker

from bench import balance_report, proxies
from bench.closed_loop import ask_until, first_bytes
from bench.idle import idle_share
from bench.nginx_image import ROOT, nginx_image
from bench.scripted import Event
from bench.spread import Spread, spread_of
from images.recipes import recipe_dir

STEP_MS = 20
GROUPS = (
    *(((1,) * 4, clients) for clients in (6, 12, 24, 48)),
    *(((1,) * servers, clients) for servers in (2, 6) for clients in (12, 48)),
    # So many that an even spread is in whole requests.
    *(((24, 24, 16, 8), clients) for clients in (18, 36)),
)
"""Weights of the servers, and how many clients ask, of each group of runs."""
_MOST_SERVERS = 6

RUNS = 3
WARM_UP_S, SPAN_S = 0.8, 2.0
_ENDED_WITHIN_S = 10
_WATCH_S = 5
ROUNDS, ASKED_A_ROUND = 10, 80
_FIRST_PORT = 18210


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is asked of a balancer: weights of the servers behind it, clients, connections."""

    weights: tuple[int, ...]
    clients: int
    pooled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How one balancer spread the requests of one setting."""

    balancer: str
    setting: Setting
    run: int
    spread: Spread
    answers: int
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstByte:
    """Times to the first byte through a balancer, or "direct", in milliseconds."""

    balancer: str
    pooled: bool
    medians_ms: tuple[float, ...]
    """Of each round."""
    p50_ms: float
    p99_ms: float


class Scripted:
    """Scripted servers in a process of their own."""

    def __init__(self, process: Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 (it was started with a pipe)
        told = json.loads(process.stdout.readline())
        self.ports: list[int] = told["ports"]
        self._events = f"http://127.0.0.1:{told['events']}/"

    def events(self) -> list[Event]:
        """Return what happened since the last time."""
        with urlopen(self._events, timeout=10) as answer:  # noqa: S310 (of this machine)
            return [(when, server, change) for when, server, change in json.load(answer)]


@contextmanager
def scripted(count: int, step_ms: float) -> Iterator[Scripted]:
    """Run *count* scripted servers until the block ends."""
    words = ["-m", "bench.scripted", "--servers", str(count), "--step-ms", str(step_ms)]
    with Popen([sys.executable, *words], cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as process:  # noqa: S603
        yield Scripted(process)


class Bench:
    """The three balancers' image and module, and how they are started."""

    def __init__(self, client: docker.DockerClient, image: str, module: bytes) -> None:
        self._client, self._image, self._module = client, image, module

    @contextmanager
    def balancers(
        self, ports: Sequence[int], weights: Sequence[int], clients: int
    ) -> Iterator[Mapping[str, int]]:
        """Run all balancers in front of the servers at *ports*; yields the port of each."""
        pairs = zip(ports, weights, strict=False)
        servers = [proxies.Server(port=port, weight=weight) for port, weight in pairs]
        at = {name: _FIRST_PORT + number for number, name in enumerate(proxies.NAMES)}
        with ExitStack() as running:
            for name, port in at.items():
                files = (
                    proxies.demo_files(servers, port, self._module)
                    if name == proxies.DEMO
                    else proxies.our_files(
                        servers, port, clients=clients, affinity=name == proxies.AFFINITY
                    )
                )
                running.enter_context(proxies.running(self._client, self._image, files, port))
            yield at


def measure_spread(bench: Bench, servers: Scripted) -> Iterator[Measured]:
    """Measure every setting with every balancer, those of a setting one after another."""
    for weights, clients in GROUPS:
        with bench.balancers(servers.ports, weights, clients) as at:
            for run, pooled, name in product(range(RUNS), (False, True), at):
                setting = Setting(weights=weights, clients=clients, pooled=pooled)
                yield _measure(servers, name, at[name], setting, run)


def _measure(servers: Scripted, name: str, port: int, setting: Setting, run: int) -> Measured:
    start = time.monotonic() + WARM_UP_S
    end = start + SPAN_S
    asked = asyncio.run(ask_until(port, setting.clients, end, pooled=setting.pooled, run=run))
    return Measured(
        balancer=name,
        setting=setting,
        run=run,
        spread=spread_of(_until_all_ended(servers), setting.weights, start=start, end=end),
        answers=asked.answers,
        failures=tuple(asked.failures),
    )


def _until_all_ended(servers: Scripted) -> list[Event]:
    """Return the events of a run, once no request is in progress any more."""
    deadline = time.monotonic() + _ENDED_WITHIN_S
    events = servers.events()
    while sum(change for _, _, change in events) > 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"requests are in progress {_ENDED_WITHIN_S} s after all clients")
        time.sleep(0.02)
        events += servers.events()
    return events


def measure_first_bytes(bench: Bench) -> list[FirstByte]:
    """Measure what each balancer adds for one client, in rounds that take turns."""
    with scripted(2, 0) as servers, bench.balancers(servers.ports, (1, 1), 1) as at:
        targets = {"direct": servers.ports[0], **at}
        times: dict[tuple[str, bool], list[list[float]]] = {}
        for _, pooled, name in product(range(ROUNDS), (True, False), targets):
            took = asyncio.run(first_bytes(targets[name], ASKED_A_ROUND, pooled=pooled))
            times.setdefault((name, pooled), []).append([one * 1000 for one in took])
    return [
        FirstByte(
            balancer=name,
            pooled=pooled,
            medians_ms=tuple(_quantile(its, 0.5) for its in rounds),
            p50_ms=_quantile(list(chain(*rounds)), 0.5),
            p99_ms=_quantile(list(chain(*rounds)), 0.99),
        )
        for (name, pooled), rounds in times.items()
    ]


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def main(argv: Sequence[str]) -> int:
    """Measure, and write the report, its picture and the raw numbers."""
    parser = argparse.ArgumentParser(prog="python -m bench.balance", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the Markdown file to write")
    output: Path = parser.parse_args(argv).output
    began = time.monotonic()
    idle = [idle_share(_WATCH_S)]
    suite = tomllib.loads((recipe_dir("nginx") / "recipe.toml").read_text())["suite"]
    client = docker.from_env()
    with (
        tempfile.TemporaryDirectory() as folder,
        nginx_image(client, "ovms-numa-bench-balance") as image,
    ):
        bench = Bench(client, image, proxies.fetch_stream_module(Path(folder), suite))
        machine = balance_report.machine_of(client, image)
        with scripted(_MOST_SERVERS, STEP_MS) as servers:
            spreads = []
            for one in measure_spread(bench, servers):
                spreads.append(one)
                print(f"{one.balancer}: {one.setting}: {one.spread}", file=sys.stderr, flush=True)
        first = measure_first_bytes(bench)
    idle.append(idle_share(_WATCH_S))
    minutes = (time.monotonic() - began) / 60
    raw = {
        "machine": machine,
        "how": {"step": STEP_MS, "runs": RUNS, "warm_up": WARM_UP_S, "span": SPAN_S},
        "minutes": round(minutes, 1),
        "idle": [round(share, 2) for share in idle],
        "spread": [asdict(one) for one in spreads],
        "first_byte": [asdict(one) for one in first],
    }
    text = json.dumps(raw, indent=1) + "\n"
    raw = json.loads(text)
    output.with_suffix(".json").write_text(text)
    output.write_text(balance_report.render(raw))
    output.with_suffix(".svg").write_text(balance_report.picture(raw))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
