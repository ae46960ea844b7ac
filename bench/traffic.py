"""When requests are begun."""

import math
import random
from collections.abc import Iterator
from itertools import repeat


def arrivals(rate: float, seed: int) -> Iterator[float]:
    """
    Yield when each request is due, in seconds since the beginning, without end.

    Args:
        rate: requests in a second, on average, above 0; `math.inf`: all are due at once.
        seed: the same seed gives the same times.

    Returns:
        Never falling; the first is 0. Between two lies a draw from the exponential distribution
        of mean 1 / *rate*, so that the requests are a Poisson process, as in vLLM's
        ``benchmark_serving``. Later versions of it also wait before the first request, and
        stretch all times so that the last of N is due at N / *rate*; this does neither.
    """
    if math.isinf(rate):
        yield from repeat(0.0)
    gaps = random.Random(f"arrivals {seed}")  # noqa: S311 (to be repeated, not to be secret)
    due = 0.0
    while True:
        yield due
        due += gaps.expovariate(rate)
