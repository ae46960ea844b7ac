"""
What a run measured, in the definitions of vLLM's serving benchmark.

Source: ``vllm/benchmarks/serve.py`` and the older ``benchmarks/benchmark_serving.py``. Times are of
the requests that were done; throughputs are their totals over the whole duration.
"""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.record import End, Record, by_instance

METRICS = ("ttft", "tpot", "itl", "e2el")
"""Time to first token, per output token, between tokens (chunks), and to the last token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """
    How one metric is spread, in milliseconds; None of all where nothing was measured.

    Attributes:
        mean: arithmetic.
        median: as `percentile` of 50.
        std: of the population.
        percentiles: those that were asked for, in that order.
    """

    mean: float | None
    median: float | None
    std: float | None
    percentiles: Mapping[float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    What one instance did.

    Attributes:
        requests: that it answered, well or not.
        failed: of these.
        output_tokens: of those that were done.
        share: of all requests that some instance answered; 0 to 1.
        median_ttft_ms: of those that were done; None where none was.
    """

    requests: int
    failed: int
    output_tokens: int
    share: float
    median_ttft_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    A run in numbers.

    Attributes:
        completed: requests whose whole stream came.
        failed: requests that ended otherwise, by the server or the way to it.
        stopped: requests that this client cut when the run ended; neither of the above.
        duration_s: from the beginning to the end of the last request.
        total_input: tokens of prompts of completed requests.
        total_output: tokens that these generated.
        request_throughput: completed in a second.
        output_throughput: generated tokens in a second.
        total_throughput: tokens of both kinds in a second.
        peak_output: the most chunks that came in one second; seconds are counted from the start
            of the first completed request.
        peak_requests: the most completed requests that were in flight at once.
        uncounted: completed requests whose tokens the server did not count.
        failures: how many of each kind; each status by its code.
        spreads: of each of METRICS.
        instances: what each instance did, by its address.
    """

    completed: int
    failed: int
    stopped: int
    duration_s: float
    total_input: int
    total_output: int
    request_throughput: float
    output_throughput: float
    total_throughput: float
    peak_output: int
    peak_requests: int
    uncounted: int
    failures: Mapping[str, int | Mapping[str, int]]
    spreads: Mapping[str, Spread]
    instances: Mapping[str, Share]


def summarise(
    records: Sequence[Record], duration_s: float, percentiles: Sequence[float]
) -> Summary:
    """
    Return what the *records* of a run of that duration come to.

    Args:
        records: of all requests that were begun.
        duration_s: of the run, in seconds; throughputs of a run of 0 s are 0.
        percentiles: which, 0 to 100.
    """
    done = [one for one in records if one.end is End.DONE]
    inputs, outputs = sum(one.prompt_tokens for one in done), _output_tokens(done)
    second = 1 / duration_s if duration_s > 0 else 0.0
    return Summary(
        completed=len(done),
        failed=sum(one.failed for one in records),
        stopped=sum(one.end is End.STOPPED for one in records),
        duration_s=duration_s,
        total_input=inputs,
        total_output=outputs,
        request_throughput=len(done) * second,
        output_throughput=outputs * second,
        total_throughput=(inputs + outputs) * second,
        peak_output=_peak_output(done),
        peak_requests=_peak_requests(done),
        uncounted=sum(one.counted_tokens is None for one in done),
        failures=_failures(records),
        spreads={name: _spread(values, percentiles) for name, values in _measured(done).items()},
        instances=_shares(records),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """
    Return the *percent* percentile of *values*, which need not be in order.

    Between two of them it is interpolated linearly, as ``numpy.percentile`` does: of n values in
    order, counted from 0, it lies at (n - 1) * *percent* / 100.
    """
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low, part = math.floor(place), place - math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * part


def _output_tokens(done: Sequence[Record]) -> int:
    return sum(one.output_tokens for one in done)


def _measured(done: Sequence[Record]) -> dict[str, list[float]]:
    """Return the values of each of METRICS, in seconds."""
    return {
        "ttft": [one.ttft_s for one in done],
        "tpot": [one.tpot_s for one in done if one.tpot_s is not None],
        "itl": [gap for one in done for gap in one.gaps_s],
        "e2el": [one.latency_s for one in done],
    }


def _spread(seconds: Sequence[float], percentiles: Sequence[float]) -> Spread:
    if not seconds:
        nothing = dict.fromkeys(percentiles)
        return Spread(mean=None, median=None, std=None, percentiles=nothing)
    return Spread(
        mean=statistics.fmean(seconds) * 1000,
        median=percentile(seconds, 50) * 1000,
        std=statistics.pstdev(seconds) * 1000,
        percentiles={percent: percentile(seconds, percent) * 1000 for percent in percentiles},
    )


def _failures(records: Sequence[Record]) -> dict[str, int | Mapping[str, int]]:
    ends = Counter(one.end for one in records)
    codes = Counter(str(one.status) for one in records if one.end is End.STATUS)
    return {
        "refused": ends[End.REFUSED],
        "status": dict(sorted(codes.items())),
        "cut": ends[End.CUT],
        "timeout": ends[End.TIMEOUT],
    }


def _shares(records: Sequence[Record]) -> dict[str, Share]:
    answered = sum(one.instance is not None for one in records)
    shares = {}
    for name, of_it in by_instance(records):
        done = [one for one in of_it if one.end is End.DONE]
        shares[name] = Share(
            requests=len(of_it),
            failed=sum(one.failed for one in of_it),
            output_tokens=_output_tokens(done),
            share=len(of_it) / answered,
            median_ttft_ms=_spread([one.ttft_s for one in done], ()).median,
        )
    return shares


def _peak_output(done: Sequence[Record]) -> int:
    if not done:
        return 0
    began = min(one.started for one in done)
    seconds = Counter(int(chunk - began) for one in done for chunk in one.chunks)
    return max(seconds.values())


def _peak_requests(done: Sequence[Record]) -> int:
    """Return the most at once; one that ends as another begins is not there beside it."""
    changes = [(one.started, 1) for one in done] + [(one.chunks[-1], -1) for one in done]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
