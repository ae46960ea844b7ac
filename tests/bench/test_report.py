"""The table and the JSON of vLLM's serving benchmark, field by field."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.load import Load
from bench.record import End, Record
from bench.report import as_json, file_name, render_remainder, render_table
from bench.results import METRICS, Summary, summarise
from bench.run import EndedBy, Run
from tests.bench.loads import failed, load, record

GOLDEN = Path(__file__).parents[1] / "data" / "bench"
DEMO = load(count=8, seed=10)
RECORDS = (
    record(),
    record(
        index=1, started=101.0, chunks=(104.0, 105.0), counted_tokens=5, prompt_tokens=30,
        instance="10.0.0.2:8001",
    ),
    failed(End.STATUS, index=2, status=503, error="status 503: busy"),
    failed(End.STATUS, index=3, status=503, error="status 503: busy"),
    failed(End.REFUSED, index=4, instance=None, error="no connection: x"),
    record(index=5, end=End.STOPPED, error="cut by this client, whose run ended"),
)  # fmt: skip


def outcome(*records: Record, **changes: Any) -> Run:
    usual: dict[str, Any] = {
        "planned": 8,
        "ended_by": EndedBy.STOP,
        "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "began": 100.0,
        "duration_s": 4.0,
        "opened": 5,
        "reused": 0,
        "client_cpu_s": 0.5,
    }
    return Run(records=records or RECORDS, **(usual | changes))


def summary(run: Run, *percentiles: float) -> Summary:
    return summarise(run.records, run.duration_s, percentiles or (99,))


def kept(run: Run, asked: Load = DEMO, *percentiles: float) -> dict[str, Any]:
    return as_json(run, summary(run, *percentiles), asked, ("ttft", "tpot", "itl"), "made up")


def test_the_table_is_as_agreed() -> None:
    run = outcome()

    table = render_table(summary(run), DEMO, METRICS) + render_remainder(run, summary(run), DEMO)

    assert table == (GOLDEN / "table.txt").read_text()


def test_bounds_of_the_traffic_are_shown_where_there_are_some() -> None:
    bounded = load(count=6, max_concurrency=4, request_rate=20)

    lines = render_table(summary(outcome()), bounded, ()).splitlines()

    assert lines[3:5] == [
        "Maximum request concurrency:             4         ",
        "Request rate configured (RPS):           20.00     ",
    ]


def test_a_dash_stands_where_nothing_was_measured() -> None:
    run = outcome(failed(End.REFUSED))

    table = render_table(summary(run), DEMO, ("ttft",))

    assert f"{'Mean TTFT (ms):':<40} -" in table
    assert f"{'P99 TTFT (ms):':<40} -" in table
    assert kept(run)["mean_ttft_ms"] is None


def test_the_names_of_what_is_kept_are_as_agreed() -> None:
    assert list(kept(outcome())) == (GOLDEN / "fields.txt").read_text().split()


def test_every_field_that_readers_of_vllm_s_files_use_is_there() -> None:
    """They are those of ``benchmark_serving.py`` and of ``vllm/benchmarks/serve.py`` alike."""
    fields = (GOLDEN / "vllm_fields.txt").read_text().split()

    assert set(fields) - kept(outcome()).keys() == set()


def test_what_is_kept_is_json_and_has_the_numbers_of_the_table() -> None:
    told = json.loads(json.dumps(kept(outcome())))

    assert told["date"] == "20260102-030405"
    assert (told["num_prompts"], told["completed"], told["failed"]) == (8, 2, 3)
    assert (told["stopped"], told["not_started"], told["ended_by"]) == (1, 2, "stop")
    assert told["request_rate"] == "inf"
    assert told["total_token_throughput"] == 12.0
    assert told["failures"] == {"refused": 1, "status": {"503": 2}, "cut": 0, "timeout": 0}
    assert told["connections"] == {"mode": "pooled", "opened": 5, "reused": 0}
    assert told["by_instance"]["10.0.0.2:8001"] == {
        "requests": 1, "failed": 0, "output_tokens": 5, "share": 0.2, "median_ttft_ms": 3000.0,
    }  # fmt: skip


def test_lists_have_a_value_for_each_request_and_zero_for_what_failed() -> None:
    told = kept(outcome())

    assert told["output_lens"] == [3, 5, 0, 0, 0, 0]
    assert told["ttfts"] == [1.0, 3.0, 0.0, 0.0, 0.0, 1.0]
    assert told["latencies"] == [2.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    assert told["itls"][:3] == [[0.5, 0.5], [1.0], []]
    assert told["errors"][:3] == ["", "", "status 503: busy"]
    assert told["ends"][1:3] == ["done", "status"]
    assert told["instances"][1] == "10.0.0.2:8001"


def test_percentiles_are_named_by_their_number() -> None:
    told = kept(outcome(), DEMO, 50, 99.9)

    assert [name for name in told if name.endswith("_ttft_ms")] == [
        "mean_ttft_ms", "median_ttft_ms", "std_ttft_ms", "p50_ttft_ms", "p99.9_ttft_ms",
    ]  # fmt: skip


def test_without_a_planned_number_the_prompts_are_those_that_were_begun() -> None:
    told = kept(outcome(planned=None))

    assert (told["num_prompts"], told["not_started"]) == (6, 0)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "openai-chat-infqps-Llama-20260102-030405.json"),
        (
            {"request_rate": 20.0, "max_concurrency": 4},
            "openai-chat-20.0qps-concurrency4-Llama-20260102-030405.json",
        ),
    ],
)
def test_the_file_is_named_as_vllm_names_it(more: dict[str, Any], name: str) -> None:
    asked = Load(url="", model="meta-llama/Llama", prompts=DEMO.prompts, **more)

    assert file_name(outcome(), asked) == name


def test_a_client_that_was_too_busy_itself_says_so() -> None:
    busy, idle = outcome(client_cpu_s=3.6), outcome(client_cpu_s=0.4)

    assert "90% of a CPU, so that times may be its own" in render_remainder(
        busy, summary(busy), DEMO
    )
    assert "This client: 10% of a CPU\n" in render_remainder(idle, summary(idle), DEMO)


def test_errors_are_shown_with_how_often_they_came_and_not_all_of_them() -> None:
    run = outcome(*(failed(End.CUT, index=number, error=f"e{number}") for number in range(7)))

    text = render_remainder(run, summary(run), DEMO)

    assert "  1 x e0\n" in text
    assert "e6" not in text
    assert "  and 2 other errors (--save-result keeps all)\n" in text


def test_what_the_server_did_not_count_is_told() -> None:
    run = outcome(record(counted_tokens=None), planned=1)

    assert "tokens the server did not count: 1; their chunks" in render_remainder(
        run, summary(run), DEMO
    )
