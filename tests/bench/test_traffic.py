"""When requests are due."""

import math
from itertools import islice, pairwise

import pytest

from bench.traffic import arrivals


def first(count: int, rate: float, seed: int = 0) -> list[float]:
    return list(islice(arrivals(rate, seed), count))


def test_at_rate_inf_all_are_due_at_once() -> None:
    assert first(2000, math.inf) == [0.0] * 2000


def test_the_same_seed_gives_the_same_times_and_another_one_others() -> None:
    assert first(100, 20.0, seed=10) == first(100, 20.0, seed=10)
    assert first(100, 20.0, seed=10) != first(100, 20.0, seed=11)


def test_the_first_request_is_due_at_once_and_none_before_the_one_before_it() -> None:
    times = first(100, 20.0)

    assert times[0] == 0
    assert times == sorted(times)


@pytest.mark.parametrize("rate", [0.5, 20.0])
def test_gaps_are_those_of_a_poisson_process(rate: float) -> None:
    """Mean and standard deviation of the exponential distribution are equal: 1 / rate."""
    gaps = [later - earlier for earlier, later in pairwise(first(20_000, rate))]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))

    assert mean == pytest.approx(1 / rate, rel=0.03)
    assert deviation == pytest.approx(1 / rate, rel=0.03)
