"""How evenly requests lie on servers: pure arithmetic on when each came and ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.scripted import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """
    How requests lay on servers in a span of time.

    A server's load is the number of requests in progress there for each unit of its weight.
    *Excess* is how far the largest load is above that of an even spread, as a share of it; *gap*
    is the largest load less the smallest.

    Attributes:
        excess: of each moment, averaged over the span: what is uneven now counts, though it may
            even out later.
        gap: the same.
        lasting_excess: of each server's average load: what does not even out.
        lasting_gap: the same.
        peak: the most requests in progress at once on any server.
    """

    excess: float
    gap: float
    lasting_excess: float
    lasting_gap: float
    peak: int


def spread_of(
    events: Sequence[Event], weights: Sequence[int], *, start: float, end: float
) -> Spread:
    """
    Tell how requests lay on the servers from *start* to *end*.

    Args:
        events: all since no request was in progress, in any order.
        weights: of each server, by its number.
        start: on the clock of the events, in seconds.
        end: the same, after *start*.

    Raises:
        ValueError: nothing was in progress in that span.
    """
    count = [0] * len(weights)
    area = [0.0] * len(weights)
    peak, busy, excess, gap, now = 0, 0.0, 0.0, 0.0, start
    for when, server, change in (*sorted(events), (end, 0, 0)):
        until = min(max(when, start), end)
        if until > now:
            span, now = until - now, until
            area = [total + running * span for total, running in zip(area, count, strict=True)]
            peak = max(peak, *count)
            gap += _gap(count, weights) * span
            if any(count):
                busy += span
                excess += _excess(count, weights) * span
        count[server] += change
    if busy == 0:
        raise ValueError(f"no request was in progress from {start} to {end}")
    return Spread(
        excess=excess / busy,
        gap=gap / (end - start),
        lasting_excess=_excess(area, weights),
        lasting_gap=_gap(area, weights) / (end - start),
        peak=peak,
    )


def least_excess(requests: int, weights: Sequence[int]) -> float:
    """Return the excess of the most even spread of so many whole requests."""
    count = [0] * len(weights)
    for _ in range(requests):
        best = min(range(len(weights)), key=lambda server: (count[server] + 1) / weights[server])
        count[best] += 1
    return _excess(count, weights)


def _loads(count: Sequence[float], weights: Sequence[int]) -> list[float]:
    return [running / weight for running, weight in zip(count, weights, strict=True)]


def _excess(count: Sequence[float], weights: Sequence[int]) -> float:
    return max(_loads(count, weights)) / (sum(count) / sum(weights)) - 1


def _gap(count: Sequence[float], weights: Sequence[int]) -> float:
    loads = _loads(count, weights)
    return max(loads) - min(loads)
