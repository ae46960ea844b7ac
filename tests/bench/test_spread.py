import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scripted import Event
from bench.spread import least_excess, spread_of


def held(server: int, start: float, end: float) -> list[Event]:
    """The events of one request."""
    return [(start, server, 1), (end, server, -1)]


def test_requests_that_lie_evenly_have_no_excess_and_no_gap() -> None:
    spread = spread_of([*held(0, 0, 10), *held(1, 0, 10)], (1, 1), start=1, end=9)

    assert (spread.excess, spread.gap, spread.peak) == (0, 0, 1)
    assert (spread.lasting_excess, spread.lasting_gap) == (0, 0)


def test_all_requests_at_one_of_four_servers_are_three_times_more_than_even() -> None:
    spread = spread_of([*held(2, 0, 10), *held(2, 0, 10)], (1,) * 4, start=0, end=10)

    assert (spread.excess, spread.gap, spread.peak) == (3, 2, 2)


def test_what_takes_turns_is_uneven_in_each_moment_and_even_in_the_end() -> None:
    events = [*held(0, 0, 5), *held(0, 0, 5), *held(1, 5, 10), *held(1, 5, 10)]

    spread = spread_of(events, (1, 1), start=0, end=10)

    assert (spread.excess, spread.gap) == (1, 2)
    assert (spread.lasting_excess, spread.lasting_gap) == (0, 0)


def test_a_server_of_three_times_the_weight_is_even_with_three_times_the_requests() -> None:
    events = [*held(0, 0, 4), *held(0, 0, 4), *held(0, 0, 4), *held(1, 0, 4)]

    spread = spread_of(events, (3, 1), start=0, end=4)

    assert (spread.excess, spread.gap, spread.peak) == (0, 0, 3)


def test_only_the_span_counts() -> None:
    before, inside, after = held(0, 0, 2), held(1, 1, 9), held(0, 8, 9)

    spread = spread_of([*after, *inside, *before], (1, 1), start=3, end=7)

    assert (spread.excess, spread.gap, spread.peak) == (1, 1, 1)


def test_a_moment_without_a_request_has_no_excess() -> None:
    spread = spread_of([*held(0, 0, 1), *held(1, 0, 1)], (1, 1), start=0, end=10)

    assert spread.excess == 0
    assert spread.gap == 0


def test_nothing_in_progress_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="no request was in progress from 3 to 4"):
        spread_of(held(0, 0, 2), (1, 1), start=3, end=4)


@pytest.mark.parametrize(
    ("requests", "weights", "least"),
    [
        (6, (1, 1, 1, 1), 1 / 3),
        (12, (1, 1, 1, 1), 0),
        (18, (24, 24, 16, 8), 0),
        (1, (1, 1), 1),
    ],
)
def test_the_least_excess_is_that_of_whole_requests(
    requests: int, weights: tuple[int, ...], least: float
) -> None:
    assert least_excess(requests, weights) == pytest.approx(least)


@given(
    st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=4),
    st.lists(st.integers(min_value=0, max_value=3), min_size=1, max_size=12),
)
def test_no_spread_is_more_even_than_the_least(weights: list[int], at: list[int]) -> None:
    events = [event for one in at for event in held(one % len(weights), 0, 1)]

    spread = spread_of(events, weights, start=0, end=1)

    assert spread.excess >= least_excess(len(at), weights) - 1e-9
