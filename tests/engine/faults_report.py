"""The page that `bench_faults` writes."""

from collections.abc import Iterator, Sequence

from tests.engine.bench_rolling import MIX
from tests.engine.faults_goals import Verdict
from tests.engine.faults_measured import Down, Measured, kinds, seconds

_HEAD = (
    "# What faults cost requests, with no operator",
    "",
    "`make bench-faults` writes this page, and `faults.json` beside it: every number, and every "
    "request that was lost.",
    "Two instances of one core each (three for the killing request) serve the small development "
    "model behind one Nginx; `--load-delay 30` makes each load for more than 30 s.",
    f"{MIX.clients} clients ask for {MIX.short_tokens} tokens without pause, and {MIX.streams} "
    f"streams of {MIX.long_tokens} tokens run meanwhile.",
    "A client whose request fails waits for 0.2 s; no client sends anything twice.",
    "Lost is what was refused, answered with another status than "
    "200, or cut before its finish reason and `[DONE]`.",
    "Times are seconds from the fault.",
)
_SERVERS = (
    "| fault | `retry` | in flight at it | lost of all in flight | of these without a token "
    "| new requests | failed | stuck on it | closed | back | its load time | early | fewest open |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
)
_BALANCER = (
    "| fault | in flight | lost | new requests | failed | back | instances closed |",
    "|---|---|---|---|---|---|---|",
)
_HOSTILE = ("| clients | how many | how they ended | after, s |", "|---|---|---|---|")
_GOALS = ("| goal | seen | met |", "|---|---|---|")
_MET = {True: "met", False: "**not met**", None: "not measured"}


def render(measured: Sequence[Measured], goals: Sequence[Verdict], machine: Sequence[str]) -> str:
    """
    Render the report as Markdown.

    Args:
        measured: every run of every fault, in the order they were made.
        goals: what they come to.
        machine: what it was measured on and how, a sentence a line.
    """
    servers = [one for one in measured if not one.what.balances and not one.what.queues]
    hostile = [one for one in measured if one.hostile]
    queues = [one for one in measured if one.what.queues]
    balancer = [one for one in measured if one.what.balances and not one.hostile]
    lines = [*_HEAD, "", *machine, "", "## Goals", "", *_GOALS]
    lines += [f"| {one.goal} | {one.seen} | {_MET[one.met]} |" for one in goals]
    lines += [
        *("", "## A server", ""),
        "Closed is when Nginx sent it no more requests, back when it sent it some again, early how "
        "many it sent between the restart and that, and in brackets those that did not go on to "
        "another.",
        "What was in flight is counted at the instances that the fault struck, by Nginx's log, and "
        "lost are all that the clients had in flight; a killed process ends some 10 ms after the "
        "signal, and what it was sent until then was in flight too; "
        "stuck is what began after it and got no answer there.",
        *("", *_SERVERS, *map(_server_row, servers)),
        *("", "## The balancer", "", *_BALANCER, *map(_balancer_row, balancer)),
    ]
    for one in hostile:
        lines += _hostile(one)
    for one in queues:
        lines += _queue(one)
    return "\n".join([*lines, ""])


def _server_row(one: Measured) -> str:
    told = one.killer_got
    if any(down.out_of_memory for down in one.downs):
        told = "the kernel killed it"
    named = f"{one.what.name} ({told})" if told else one.what.name
    cells = (
        named,
        one.what.retry,
        str(one.in_flight),
        kinds(one.lost),
        str(len(one.lost_waiting)),
        str(len(one.new)),
        kinds(one.failed),
        f"{one.stuck} ({one.stuck_share:.1%})" if one.what.hangs else "",
        *_of_downs(one.downs),
        f"{one.least_open} of {one.what.instances}",
    )
    return f"| {' | '.join(cells)} |"


def _of_downs(downs: Sequence[Down]) -> tuple[str, ...]:
    """Return the cells of the times, of each instance that was down."""
    if not downs:
        return ("never", "-", "-", "-")
    return tuple(
        " / ".join(cells)
        for cells in (
            [_often(seconds(down.closed_s), down.closings) for down in downs],
            [seconds(down.opened_s) for down in downs],
            [seconds(down.load_s) for down in downs],
            [f"{down.early} ({down.kept})" for down in downs],
        )
    )


def _often(first: str, times: int) -> str:
    return first if times < 2 else f"{first} ({times} times)"


def _balancer_row(one: Measured) -> str:
    cells = (
        one.what.name,
        str(one.in_flight),
        kinds(one.lost),
        str(len(one.new)),
        kinds(one.failed),
        seconds(one.healed_s),
        str(len(one.downs)),
    )
    return f"| {' | '.join(cells)} |"


def _hostile(one: Measured) -> Iterator[str]:
    yield from ("", "## Hostile clients, all at once", "")
    yield (
        f"Of the {len(one.new)} ordinary requests meanwhile {kinds(one.failed)} failed, of those "
        f"in flight before {kinds(one.lost)} were lost, and {len(one.downs)} instances were closed."
    )
    yield from ("", *_HOSTILE)
    for kind in one.hostile:
        ends = ", ".join(f"{count} {how}" for how, count in kind.ends.items())
        times = f"{kind.shortest_s:.1f} to {kind.longest_s:.1f}"
        yield f"| {kind.kind} | {kind.clients} | {ends} | {times} |"


def _queue(one: Measured) -> Iterator[str]:
    yield from ("", "## A long queue", "")
    yield (
        f"With `server.max-concurrency: 2`, {len(one.requests)} requests of {MIX.long_tokens} "
        f"tokens waited for up to {one.longest_wait_s:.0f} s for their first token; "
        f"{len(one.downs)} instances were closed or restarted, and {kinds(one.lost + one.failed)} "
        "requests were lost."
    )
