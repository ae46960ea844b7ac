"""The report of `bench.balance`: tables, whether its goals are met, and the machine."""

import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

from bench.bars import draw
from bench.proxies import BOUND, DEMO, NAMES, OURS
from bench.spread import least_excess

Raw = dict[str, Any]

MOST_EXCESS = 0.05
"""The goal for the excess, above the least that whole requests allow."""
MOST_GAP = 0.5
"""The goal for the gap with pooled connections, as a share of the demo's."""
MOST_OF_TTFT = 0.01
"""The goal for the added first-byte time, as a share of the time to the first token."""

_DRAWN_SERVERS = 4

_HEAD = Path(__file__).with_name("balance_head.md")


def machine_of(client: docker.DockerClient, image: str) -> dict[str, str]:
    """Tell what this machine is, and which Nginx is in *image*."""
    version = client.containers.run(image, ["nginx", "-v"], remove=True, stderr=True)
    return {
        "cpus": str(len(os.sched_getaffinity(0))),
        "model": _processor(),
        "kernel": platform.release(),
        "docker": client.version()["Version"],
        "nginx": version.decode().strip().removeprefix("nginx version: "),
        "python": platform.python_version(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "of an unknown model"


def render(raw: Raw) -> str:
    """Render the report as Markdown."""
    spreads = raw["spread"]
    parts = [
        _HEAD.read_text().format(
            **raw["machine"],
            **raw["how"],
            bound=BOUND,
            minutes=raw["minutes"],
            idle_before=f"{raw['idle'][0]:.0%}",
            idle_after=f"{raw['idle'][1]:.0%}",
            answers=sum(one["answers"] for one in spreads),
            failed=sum(len(one["failures"]) for one in spreads),
        ),
        *_goals(raw),
        "![Excess with four servers, by clients and connections.](balance.svg)\n",
    ]
    even = [one for one in spreads if len({*one["setting"]["weights"]}) == 1]
    uneven = [one for one in spreads if one not in even]
    for pooled, words in ((False, "a new connection for each request"), (True, "pooled")):
        parts += [f"## Servers alike, connections: {words}\n", _table(even, pooled)]
    for pooled, words in ((False, "a new connection for each request"), (True, "pooled")):
        weights = ", ".join(map(str, uneven[0]["setting"]["weights"]))
        parts += [f"## Weights {weights}, connections: {words}\n", _table(uneven, pooled)]
    parts += ["## Time to the first byte\n", _first_bytes(raw["first_byte"])]
    return "\n".join(parts)


def _rows(spreads: Sequence[Raw], pooled: bool) -> Iterator[tuple[Raw, dict[str, Raw]]]:
    """Yield each setting with the mean spread of each balancer's runs."""
    here = [one for one in spreads if one["setting"]["pooled"] == pooled]
    settings = [one["setting"] for one in here if one["balancer"] == NAMES[0] and one["run"] == 0]
    for setting in settings:
        of: dict[str, list[Raw]] = {name: [] for name in NAMES}
        for one in here:
            if one["setting"] == setting:
                of[one["balancer"]].append(one["spread"])
        yield setting, {name: _mean(its) for name, its in of.items()}


def _mean(spreads: Sequence[Raw]) -> Raw:
    return {key: statistics.fmean(one[key] for one in spreads) for key in spreads[0]}


def _table(spreads: Sequence[Raw], pooled: bool) -> str:
    columns = {"excess": 2, "gap": 2, "lasting excess": 2, "peak": 1}
    head = "".join(f" {name}: {' / '.join(NAMES)} |" for name in columns)
    lines = [f"| servers | clients | least excess |{head}", f"|---|---|---|{'---|' * len(columns)}"]
    for setting, of in _rows(spreads, pooled):
        cells = [
            " / ".join(f"{of[name][column.replace(' ', '_')]:.{digits}f}" for name in NAMES)
            for column, digits in columns.items()
        ]
        least = least_excess(setting["clients"], setting["weights"])
        lines.append(
            f"| {len(setting['weights'])} | {setting['clients']} | {least:.2f} "
            f"| {' | '.join(cells)} |"
        )
    return "\n".join([*lines, ""])


def _goals(raw: Raw) -> Iterator[str]:
    """Say of each goal whether it is met, with the numbers of all settings."""
    new, pooled = ([*_rows(raw["spread"], kept)] for kept in (False, True))
    above = {
        name: [
            of[name]["excess"] - least_excess(setting["clients"], setting["weights"])
            for setting, of in new
        ]
        for name in NAMES
    }
    ratios = [of[OURS]["gap"] / of[DEMO]["gap"] for _, of in pooled]
    uneven = [
        ratio
        for ratio, (setting, of) in zip(ratios, pooled, strict=True)
        if of[DEMO]["excess"] > MOST_EXCESS + least_excess(setting["clients"], setting["weights"])
    ]
    added = added_ms(raw["first_byte"], OURS, pooled=True)
    yield "## Goals\n"
    yield f"| goal | {OURS} | {DEMO} | met |"
    yield "|---|---|---|---|"
    yield (
        f"| new connections: excess at most {MOST_EXCESS} above the least | {_range(above[OURS])} "
        f"| {_range(above[DEMO])} | {_met([one <= MOST_EXCESS for one in above[OURS]])} |"
    )
    yield (
        f"| pooled connections: gap at most {MOST_GAP} of the demo's | {_range(ratios)} of it "
        f"| 1 | {_met([ratio <= MOST_GAP for ratio in ratios])}; of those where the demo's excess "
        f"is more than {MOST_EXCESS} above the least, in {sum(one <= MOST_GAP for one in uneven)} "
        f"of {len(uneven)} |"
    )
    yield (
        f"| first byte later by at most {MOST_OF_TTFT:.0%} of the time to the first token "
        f"| {added:.2f} ms, which is {MOST_OF_TTFT:.0%} of {added / MOST_OF_TTFT:.0f} ms "
        f"| {added_ms(raw['first_byte'], DEMO, pooled=True):.2f} ms "
        "| where the first token takes longer than that |\n"
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f} (median {statistics.median(values):.2f})"


def _met(each: Sequence[bool]) -> str:
    if all(each):
        return "yes"
    return f"{'no' if not any(each) else 'in part'}: in {sum(each)} of {len(each)} settings"


def added_ms(first_bytes: Sequence[Raw], balancer: str, *, pooled: bool) -> float:
    """Return how much later than without a balancer the median first byte comes, in ms."""
    of = {one["balancer"]: one["p50_ms"] for one in first_bytes if one["pooled"] == pooled}
    return float(of[balancer] - of["direct"])


def _first_bytes(first_bytes: Sequence[Raw]) -> str:
    lines = [
        "One client asks for one token, one request after another, of servers that wait for "
        "nothing; the rounds of all balancers take turns.\n"
        "Where less than nothing is added, Nginx takes a new connection sooner than the scripted "
        "server, to which it keeps its own.\n",
        "| through | connections | p50, ms | medians of the rounds, ms | added p50, ms | p99, ms |",
        "|---|---|---|---|---|---|",
    ]
    for one in first_bytes:
        added = added_ms(first_bytes, one["balancer"], pooled=one["pooled"])
        medians = f"{min(one['medians_ms']):.2f} to {max(one['medians_ms']):.2f}"
        lines.append(
            f"| {one['balancer']} | {'pooled' if one['pooled'] else 'new'} | {one['p50_ms']:.2f} "
            f"| {medians} | {added:.2f} | {one['p99_ms']:.2f} |"
        )
    return "\n".join([*lines, ""])


def picture(raw: Raw) -> str:
    """Draw the excess of each balancer with four servers that are alike, as SVG."""
    here = [one for one in raw["spread"] if one["setting"]["weights"] == [1] * _DRAWN_SERVERS]
    groups = [
        (f"{setting['clients']} {words}", {name: of[name]["excess"] for name in NAMES})
        for pooled, words in ((False, "new"), (True, "pooled"))
        for setting, of in _rows(here, pooled)
    ]
    return draw(f"Excess load, {_DRAWN_SERVERS} servers, by clients and connections", groups)
