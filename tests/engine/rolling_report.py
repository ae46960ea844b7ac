"""What `bench_rolling` measured, in numbers and as a page."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from bench.record import End
from tests.engine.bench_requests import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    One change under load.

    Attributes:
        name: what was changed.
        pooled: whether the short requests shared connections.
        exempt: whether losses are expected.
        update_s: how long `pulumi up` took, in seconds.
        least_open: the fewest instances that were open in the balancer at once.
        instances: the most.
        requests: all, those before and after the update too.
    """

    name: str
    pooled: bool
    exempt: bool
    update_s: float
    least_open: int
    instances: int
    requests: tuple[Request, ...]

    @property
    def during(self) -> tuple[Request, ...]:
        """The requests that were in flight at some time of the update."""
        return tuple(one for one in self.requests if one.ended > 0 and one.started < self.update_s)

    @property
    def cut(self) -> int:
        """How many answers ended before their end."""
        return sum(one.end == End.CUT for one in self.requests)

    @property
    def lost(self) -> int:
        """How many requests did not end well, the cut ones too."""
        return sum(one.end != End.DONE for one in self.requests)

    @property
    def quiet_s(self) -> float:
        """The longest time of the update in which no request ended well, in seconds."""
        ends = sorted(
            one.ended
            for one in self.requests
            if one.end == End.DONE and 0 < one.ended < self.update_s
        )
        marks = [0.0, *ends, self.update_s]
        return max(later - earlier for earlier, later in pairwise(marks))

    def first_token_s(self, *, during: bool) -> float | None:
        """Return the median time to the first token, of requests sent in the update or outside."""
        times = [
            one.first - one.started
            for one in self.requests
            if one.first is not None and (0 <= one.started <= self.update_s) == during
        ]
        return statistics.median(times) if times else None

    def in_words(self) -> str:
        """Say in a line what came of it."""
        kinds = Counter(one.end for one in self.requests)
        return (
            f"{self.name}: {len(self.requests)} requests, {self.lost} lost ({dict(kinds)}), "
            f"update {self.update_s:.0f} s, at least {self.least_open} of {self.instances} open"
        )

    def to_json(self) -> dict[str, object]:
        """Return everything, for other programs."""
        return asdict(self)


_TABLE = (
    "| change | connections | update, s | requests during it | lost | of these cut "
    "| fewest open | longest without an answer, s | first token before and after / during, s |",
    "|---|---|---|---|---|---|---|---|---|",
)


def render(measured: Sequence[Measured], machine: str) -> str:
    """Render the report as Markdown."""
    lines = [
        "# What updates cost requests",
        "",
        "`make bench-rolling` writes this page, and each request as `rolling.json` beside it.",
        "Two instances of one core each serve the small development model behind one Nginx.",
        "12 clients ask for 16 tokens without pause, and 12 streams of 200 tokens run meanwhile.",
        "No client sends anything twice; lost is what was refused, answered with another status "
        "than 200, or cut before its finish reason and `[DONE]`.",
        "Clients share connections (`pooled`), or each short request makes a new one.",
        "",
        machine,
        "",
        *_TABLE,
        *(_row(one) for one in measured if not one.exempt),
    ]
    if exempt := [one for one in measured if one.exempt]:
        lines += [
            "",
            "What replaces the balancer's own container takes the endpoint away meanwhile.",
            "Requests then begin at a steady pace, 3 short ones and 0.3 streams in a second.",
            "",
            *_TABLE,
            *(_row(one) for one in exempt),
        ]
    return "\n".join([*lines, ""])


def _row(one: Measured) -> str:
    times = (one.first_token_s(during=during) for during in (False, True))
    cells = (
        one.name,
        "pooled" if one.pooled else "new",
        f"{one.update_s:.0f}",
        str(len(one.during)),
        str(one.lost),
        str(one.cut),
        f"{one.least_open} of {one.instances}",
        f"{one.quiet_s:.1f}",
        " / ".join("-" if time is None else f"{time:.2f}" for time in times),
    )
    return f"| {' | '.join(cells)} |"
