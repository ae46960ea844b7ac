"""The definitions of vLLM's serving benchmark, against examples that were computed by hand."""

from collections.abc import Sequence

import pytest

from bench.record import End, Record
from bench.results import percentile, summarise
from tests.bench.loads import failed, record

SLOWER = record(
    index=1,
    started=101.0,
    chunks=(104.0, 105.0),
    counted_tokens=5,
    prompt_tokens=30,
    instance="10.0.0.2:8001",
)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([15, 20, 35, 40, 50], 40, 29.0),
        ([50, 15, 40, 20, 35], 40, 29.0),
        ([15, 20, 35, 40, 50], 50, 35.0),
        ([1, 2, 3, 4], 99, 3.97),
        ([1, 2, 3, 4], 0, 1),
        ([1, 2, 3, 4], 100, 4),
        ([7], 99, 7),
    ],
)
def test_percentiles_are_interpolated_as_numpy_does(
    values: Sequence[float], percent: float, expected: float
) -> None:
    assert percentile(values, percent) == pytest.approx(expected)


def test_times_of_one_request_are_those_of_its_chunks() -> None:
    one = record()

    assert (one.ttft_s, one.latency_s) == (1.0, 2.0)
    assert one.gaps_s == (0.5, 0.5)
    assert one.tpot_s == pytest.approx(0.5)


def test_time_per_token_divides_by_tokens_where_a_chunk_holds_several() -> None:
    assert SLOWER.gaps_s == (1.0,)
    assert SLOWER.tpot_s == pytest.approx(1 / 4)


def test_a_single_token_has_no_time_per_token() -> None:
    assert record(chunks=(101.0,), counted_tokens=1).tpot_s is None


def test_throughputs_are_totals_over_the_whole_duration() -> None:
    summary = summarise([record(), SLOWER, failed(End.CUT, prompt_tokens=99)], 4.0, (99,))

    assert (summary.completed, summary.failed) == (2, 1)
    assert (summary.total_input, summary.total_output) == (40, 8)
    assert summary.request_throughput == 0.5
    assert summary.output_throughput == 2.0
    assert summary.total_throughput == 12.0


def test_spreads_are_of_done_requests_and_gaps_of_all_of_them_together() -> None:
    cut = record(end=End.CUT, chunks=(190.0, 191.0))
    spreads = summarise([record(), SLOWER, cut], 4.0, (50, 99)).spreads

    ttft = spreads["ttft"]
    assert (ttft.mean, ttft.median, ttft.std) == (2000.0, 2000.0, 1000.0)
    assert ttft.percentiles == {50: 2000.0, 99: pytest.approx(2980.0)}
    assert spreads["itl"].mean == pytest.approx(2000 / 3), "0.5, 0.5 and 1 s"
    assert spreads["itl"].median == 500.0
    assert spreads["tpot"].mean == pytest.approx(375.0)
    assert spreads["e2el"].mean == 3000.0


def test_where_nothing_was_done_nothing_is_made_up() -> None:
    summary = summarise([failed(End.REFUSED)], 0.0, (99,))

    assert summary.request_throughput == 0
    assert (summary.peak_output, summary.peak_requests) == (0, 0)
    assert summary.spreads["ttft"].mean is None
    assert summary.spreads["ttft"].percentiles == {99: None}


def test_failures_are_counted_by_kind_and_status_by_code() -> None:
    records = [
        failed(End.REFUSED),
        failed(End.STATUS, status=503),
        failed(End.STATUS, status=404),
        failed(End.STATUS, status=503),
        failed(End.CUT),
        failed(End.TIMEOUT),
    ]

    summary = summarise(records, 1.0, ())

    assert summary.failures == {
        "refused": 1, "status": {"404": 1, "503": 2}, "cut": 1, "timeout": 1,
    }  # fmt: skip
    assert summary.failed == 6


def test_what_this_client_cut_is_neither_done_nor_failed() -> None:
    summary = summarise([record(), record(end=End.STOPPED)], 1.0, ())

    assert (summary.completed, summary.failed, summary.stopped) == (1, 0, 1)


def test_requests_are_split_by_the_instance_that_answered() -> None:
    records: list[Record] = [
        record(),
        record(counted_tokens=7),
        SLOWER,
        failed(End.STATUS, status=503),
        failed(End.REFUSED, instance=None),
    ]

    instances = summarise(records, 1.0, ()).instances

    assert list(instances) == ["10.0.0.1:8000", "10.0.0.2:8001"]
    first, second = instances.values()
    assert (first.requests, first.failed, first.output_tokens) == (3, 1, 10)
    assert (first.share, second.share) == (0.75, 0.25), "of those that an instance answered"
    assert (first.median_ttft_ms, second.median_ttft_ms) == (1000.0, 3000.0)


def test_an_instance_that_only_failed_has_no_time_to_first_token() -> None:
    (share,) = summarise([failed(End.CUT)], 1.0, ()).instances.values()

    assert (share.requests, share.failed, share.median_ttft_ms) == (1, 1, None)


def test_peaks_are_the_most_chunks_of_a_second_and_the_most_requests_at_once() -> None:
    """Chunks 1, 1.5, 2, 4 and 5 s after the first start; the second request starts at 1 s."""
    summary = summarise([record(), SLOWER], 5.0, ())

    assert summary.peak_output == 2
    assert summary.peak_requests == 2


def test_a_request_that_begins_as_another_ends_is_not_beside_it() -> None:
    after = record(started=102.0, chunks=(103.0,))

    assert summarise([record(), after], 3.0, ()).peak_requests == 1


def test_requests_whose_tokens_the_server_did_not_count_are_told() -> None:
    assert summarise([record(), record(counted_tokens=None)], 1.0, ()).uncounted == 1
