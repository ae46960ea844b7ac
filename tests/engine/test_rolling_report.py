"""The numbers of `bench_rolling`, without a stack."""

from tests.engine.bench_requests import Request
from tests.engine.rolling_report import Measured, render


def request(started: float, ended: float, end: str = "done") -> Request:
    first = started + 0.5 if end == "done" else None
    return Request(
        started=started, first=first, ended=ended, end=end, instance="10.0.0.1:8000", error=""
    )


def measured(*requests: Request, exempt: bool = False) -> Measured:
    return Measured(
        name="server flag",
        pooled=True,
        exempt=exempt,
        update_s=10,
        least_open=1,
        instances=2,
        requests=requests,
    )


def test_what_did_not_end_well_is_lost_and_what_was_cut_is_some_of_that() -> None:
    one = measured(request(-1, 1), request(1, 2, "cut"), request(1, 2, "refused"))

    assert (one.lost, one.cut) == (2, 1)
    assert "3 requests, 2 lost" in one.in_words()


def test_a_request_is_of_the_update_if_it_was_in_flight_at_some_time_of_it() -> None:
    inside = (request(-1, 1), request(4, 5), request(9, 30))

    assert measured(request(-3, -1), *inside, request(11, 12)).during == inside


def test_the_longest_time_without_an_answer_counts_from_the_update_s_ends() -> None:
    assert measured().quiet_s == 10
    assert measured(request(-5, 2), request(0, 3), request(3, 4, "cut")).quiet_s == 7


def test_first_tokens_are_told_apart_by_when_the_request_was_sent() -> None:
    one = measured(request(-5, 2), request(1, 3, "refused"))

    assert one.first_token_s(during=False) == 0.5
    assert one.first_token_s(during=True) is None


def test_what_replaces_the_balancer_has_a_table_of_its_own() -> None:
    page = render([measured(request(0, 1)), measured(request(0, 1, "cut"), exempt=True)], "Here.")

    first, second = page.split("What replaces")
    assert "| server flag | pooled | 10 | 1 | 0 | 0 | 1 of 2 | 9.0 | - / 0.50 |" in first
    assert "| server flag | pooled | 10 | 1 | 1 | 1 | 1 of 2 | 10.0 | - / - |" in second
