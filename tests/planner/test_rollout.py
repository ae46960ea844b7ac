import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.rollout import rolling_order, waits_for

names = st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=6)


def test_instances_that_do_not_serve_are_replaced_first() -> None:
    """Else one that is down and one that is being replaced would be down together."""
    assert rolling_order(["c", "b", "a", "d"], frozenset("ac")) == ("b", "d", "a", "c")


@given(names, st.data())
def test_the_order_does_not_depend_on_the_order_of_the_names(
    given_names: list[str], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(given_names))
    serving = frozenset(given_names[:2])

    assert rolling_order(shuffled, serving) == rolling_order(given_names, serving)


@pytest.mark.parametrize(
    ("max_unavailable", "waits"),
    [
        (1, {"b": "a", "c": "b", "d": "c"}),
        (2, {"c": "a", "d": "b"}),
        (4, {}),
        (9, {}),
    ],
)
def test_no_more_than_allowed_are_out_of_service_together(
    max_unavailable: int, waits: dict[str, str]
) -> None:
    assert waits_for(("a", "b", "c", "d"), frozenset("d"), max_unavailable) == waits


def test_where_nothing_serves_all_start_at_once() -> None:
    assert waits_for(("a", "b"), frozenset("z"), 1) == {}
