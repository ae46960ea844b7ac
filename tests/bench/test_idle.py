import pytest

from bench.idle import idle_between

BEFORE = "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


@pytest.mark.parametrize(
    ("after", "share"),
    [
        ("cpu  100 0 50 890 60 0 0 0 7 0\n", 1.0),
        ("cpu  150 0 75 825 50 0 0 0 57 0\n", 0.25),
        ("cpu  100 0 50 850 50 0 0 50 7 0\n", 0.5),
    ],
    ids=["idle, or waiting for disks", "busy, a guest counted once", "taken by another machine"],
)
def test_the_share_that_is_idle_is_that_of_all_time(after: str, share: float) -> None:
    assert idle_between(BEFORE, after) == pytest.approx(share)
