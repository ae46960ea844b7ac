"""
How a run is shown and kept: the table and the JSON of vLLM's serving benchmark, and what it lacks.

Labels, their order and the fields' names are vLLM's, so that what reads one reads the other. Below
its table, and beside its fields, stand failures by kind, instances and connections.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.load import Load
from bench.record import End
from bench.results import Spread, Summary
from bench.run import Run

_WIDTH = 50
_HEADINGS = {
    "ttft": "Time to First Token",
    "tpot": "Time per Output Token (excl. 1st token)",
    "itl": "Inter-token Latency",
    "e2el": "End-to-end Latency",
}
_MOST_ERRORS = 5
_BUSY = 0.7
_SLOW = ", so that times may be its own: ask for less at once, or run several clients"
BACKEND = "openai-chat"


def render_table(summary: Summary, load: Load, metrics: Sequence[str]) -> str:
    """Render vLLM's table, with the spreads of *metrics*; a dash where nothing was measured."""
    lines = [" Serving Benchmark Result ".center(_WIDTH, "="), *_totals(summary, load)]
    for name in metrics:
        spread = summary.spreads[name]
        lines.append(_HEADINGS[name].center(_WIDTH, "-"))
        lines += [_line(f"{word} {name.upper()} (ms)", value) for word, value in _values(spread)]
    return "\n".join([*lines, "=" * _WIDTH, ""])


def render_remainder(run: Run, summary: Summary, load: Load) -> str:
    """Render what vLLM's table lacks: failures by kind, instances, connections, and notes."""
    lines = [*_failures(run, summary), *_instances(summary)]
    lines.append(f"Connections: {load.connections}, {run.opened} made, {run.reused} used again")
    busy = run.client_cpu_s / run.duration_s if run.duration_s > 0 else 0.0
    lines.append(f"This client: {busy:.0%} of a CPU" + (_SLOW if busy > _BUSY else ""))
    if summary.stopped:
        lines.append(f"Cut by this client when the run ended, and not failed: {summary.stopped}")
    if left := _not_started(run):
        lines.append(f"Not begun before the run ended: {left}")
    if summary.uncounted:
        lines.append(
            f"Requests whose tokens the server did not count: {summary.uncounted}; their chunks "
            "are counted instead"
        )
    return "\n".join([*lines, ""])


def as_json(
    run: Run, summary: Summary, load: Load, metrics: Sequence[str], dataset: str
) -> dict[str, Any]:
    """
    Return what is kept of a run.

    Args:
        run: what came of it.
        summary: the same in numbers.
        load: what was asked for.
        metrics: whose spreads are wanted.
        dataset: where the prompts are from, in words.
    """
    return (
        _asked(run, load)
        | _measured(summary)
        | {f"{key}_{name}_ms": value for name in metrics for key, value in _keys(summary, name)}
        | _each(run)
        | {
            "dataset": dataset,
            "seed": load.seed,
            "ended_by": run.ended_by,
            "stopped": summary.stopped,
            "not_started": _not_started(run),
            "failures": summary.failures,
            "ends": [one.end for one in run.records],
            "instances": [one.instance for one in run.records],
            "by_instance": {name: asdict(share) for name, share in summary.instances.items()},
            "client_cpu_s": run.client_cpu_s,
            "connections": {
                "mode": load.connections,
                "opened": run.opened,
                "reused": run.reused,
            },
        }
    )


def file_name(run: Run, load: Load) -> str:
    """Return vLLM's name for the file of a run."""
    bound = "" if load.max_concurrency is None else f"-concurrency{load.max_concurrency}"
    model = load.model.rpartition("/")[2]
    return f"{BACKEND}-{load.request_rate}qps{bound}-{model}-{_date(run)}.json"


def _totals(summary: Summary, load: Load) -> Iterator[str]:
    yield _line("Successful requests", summary.completed)
    yield _line("Failed requests", summary.failed)
    if load.max_concurrency is not None:
        yield _line("Maximum request concurrency", load.max_concurrency)
    if not math.isinf(load.request_rate):
        yield _line("Request rate configured (RPS)", float(load.request_rate))
    yield _line("Benchmark duration (s)", summary.duration_s)
    yield _line("Total input tokens", summary.total_input)
    yield _line("Total generated tokens", summary.total_output)
    yield _line("Request throughput (req/s)", summary.request_throughput)
    yield _line("Output token throughput (tok/s)", summary.output_throughput)
    yield _line("Peak output token throughput (tok/s)", float(summary.peak_output))
    yield _line("Peak concurrent requests", float(summary.peak_requests))
    yield _line("Total token throughput (tok/s)", summary.total_throughput)


def _line(label: str, value: float | None) -> str:
    shown = "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
    return f"{label + ':':<40} {shown:<10}"


def _word(percent: float) -> str:
    return str(int(percent) if percent == int(percent) else percent)


def _values(spread: Spread) -> Iterator[tuple[str, float | None]]:
    yield "Mean", spread.mean
    yield "Median", spread.median
    for percent, value in spread.percentiles.items():
        yield f"P{_word(percent)}", value


def _keys(summary: Summary, metric: str) -> Iterator[tuple[str, float | None]]:
    spread = summary.spreads[metric]
    yield from {"mean": spread.mean, "median": spread.median, "std": spread.std}.items()
    for percent, value in spread.percentiles.items():
        yield f"p{_word(percent)}", value


def _failures(run: Run, summary: Summary) -> Iterator[str]:
    kinds = [
        f"{name} {count}" if isinstance(count, int) else _by_code(count)
        for name, count in summary.failures.items()
    ]
    yield f"Failures: {', '.join(kinds)}"
    errors = Counter(one.error for one in run.records if one.failed)
    for error, count in errors.most_common(_MOST_ERRORS):
        yield f"  {count} x {error}"
    if len(errors) > _MOST_ERRORS:
        yield f"  and {len(errors) - _MOST_ERRORS} other errors (--save-result keeps all)"


def _by_code(codes: Any) -> str:
    return "status " + (" and ".join(f"{code}: {count}" for code, count in codes.items()) or "0")


def _instances(summary: Summary) -> Iterator[str]:
    if not summary.instances:
        return
    yield f"{'Instance':<24} {'requests':>8} {'failed':>7} {'tokens':>9} {'share':>7} " + (
        f"{'median TTFT (ms)':>17}"
    )
    for name, one in summary.instances.items():
        ttft = "-" if one.median_ttft_ms is None else f"{one.median_ttft_ms:.2f}"
        yield (
            f"{name:<24} {one.requests:>8} {one.failed:>7} {one.output_tokens:>9} "
            f"{one.share:>7.1%} {ttft:>17}"
        )


def _asked(run: Run, load: Load) -> dict[str, Any]:
    return {
        "date": _date(run),
        "endpoint_type": BACKEND,
        "backend": BACKEND,
        "label": None,
        "model_id": load.model,
        "tokenizer_id": None,
        "num_prompts": len(run.records) if run.planned is None else run.planned,
        "request_rate": "inf" if math.isinf(load.request_rate) else load.request_rate,
        "burstiness": 1.0,
        "max_concurrency": load.max_concurrency,
    }


def _measured(summary: Summary) -> dict[str, Any]:
    return {
        "duration": summary.duration_s,
        "completed": summary.completed,
        "failed": summary.failed,
        "total_input_tokens": summary.total_input,
        "total_output_tokens": summary.total_output,
        "request_throughput": summary.request_throughput,
        "request_goodput": None,
        "output_throughput": summary.output_throughput,
        "total_token_throughput": summary.total_throughput,
        "max_output_tokens_per_s": summary.peak_output,
        "max_concurrent_requests": summary.peak_requests,
    }


def _each(run: Run) -> dict[str, list[Any]]:
    """Return vLLM's lists of one value a request, in seconds and tokens; 0 where there is none."""
    done = [one if one.end is End.DONE else None for one in run.records]
    return {
        "input_lens": [one.prompt_tokens for one in run.records],
        "output_lens": [one.output_tokens if one else 0 for one in done],
        "start_times": [one.started for one in run.records],
        "ttfts": [one.ttft_s if one.chunks else 0.0 for one in run.records],
        "itls": [list(one.gaps_s) for one in run.records],
        "latencies": [one.latency_s if one else 0.0 for one in done],
        "generated_texts": [one.text for one in run.records],
        "errors": [one.error for one in run.records],
    }


def _not_started(run: Run) -> int:
    return 0 if run.planned is None else run.planned - len(run.records)


def _date(run: Run) -> str:
    return run.date.strftime("%Y%m%d-%H%M%S")
