"""The numbers and goals of `bench_faults`, without a stack."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.engine.bench_requests import Request
from tests.engine.faults_goals import Verdict, verdicts
from tests.engine.faults_measured import Down, Hostile, Measured, What, kinds
from tests.engine.faults_report import render
from tests.engine.faults_site import is_socket

KILL = What(name="SIGKILL of a server", kills=True)
HANG = What(name="SIGSTOP of a server", hangs=True)
BACK = Down(instance="a", closed_s=0.4, restarted_s=1.0, load_s=33.0, opened_s=35.0)


def request(started: float, end: str = "done", *, first: float | None = 0.5) -> Request:
    return Request(
        started=started,
        first=None if first is None else started + first,
        ended=started + 2,
        end=end,
        instance=None,
        error="status 502: gone" if end == "status" else "",
    )


def measured(what: What, *requests: Request, **fields: Any) -> Measured:
    whole: dict[str, Any] = {
        "in_flight": 1,
        "began": 100,
        "stuck": 0,
        "least_open": 1,
        "healed_s": 35.0,
        "downs": (BACK,),
    }
    return Measured(what=what, requests=requests, **(whole | fields))


def verdict(words: str, *runs: Measured, sockets: Sequence[str] = ()) -> Verdict:
    (found,) = (one for one in verdicts(runs, sockets) if words in one.goal)
    return found


def test_what_was_in_flight_and_what_came_later_are_told_apart() -> None:
    one = measured(KILL, request(-1, "cut"), request(-1, "status", first=None), request(1, "cut"))

    assert (len(one.lost), len(one.lost_waiting)) == (2, 1)
    assert (len(one.new), len(one.failed)) == (1, 1)


def test_what_the_client_itself_ended_is_not_lost() -> None:
    one = measured(KILL, request(-1, "stopped"), request(1, "stopped"))

    assert (one.lost, one.failed) == ((), ())


def test_what_is_sent_to_a_process_while_it_ends_was_in_flight() -> None:
    one = measured(KILL, request(0.02, "cut"), request(0.04, "cut"), over_s=0.03)

    assert ([lost.started for lost in one.lost], [new.started for new in one.failed]) == (
        [0.02],
        [0.04],
    )


def test_losses_are_told_by_kind_and_a_status_by_its_number() -> None:
    lost = (request(-1, "cut"), request(-1, "status"), request(-1, "status"))

    assert kinds(lost) == "3 (1 cut, 2 status 502)"
    assert kinds(()) == "0"


def test_a_failed_new_request_misses_the_goal_of_a_kill_and_names_it() -> None:
    fine, not_fine = measured(KILL, request(1)), measured(KILL, request(1, "cut"))

    assert verdict("kill of a server", fine).met is True
    assert verdict("kill of a server", fine, not_fine) == Verdict(
        goal="after a kill of a server no new request fails",
        seen="1 of 2 failed, in 2 runs: SIGKILL of a server",
        met=False,
    )


def test_what_is_lost_in_flight_does_not_miss_that_goal() -> None:
    assert verdict("kill of a server", measured(KILL, request(-1, "cut"))).met is True


def test_a_goal_that_no_run_was_made_for_is_not_met_and_not_missed() -> None:
    assert {one.met for one in verdicts((), ())} == {None, True}
    assert verdict("Docker socket").met is True
    assert all(one.seen == "not measured" for one in verdicts((), ()) if one.met is None)


@pytest.mark.parametrize(("closed_s", "met"), [(4.9, True), (5.1, False), (None, False)])
def test_a_hang_is_noticed_in_time_or_not(closed_s: float | None, met: bool) -> None:
    downs = (
        Down(instance="a", closed_s=closed_s, restarted_s=8.0),
        Down(instance="b", closed_s=1.0),
    )

    assert verdict("noticed", measured(HANG, downs=downs, victims=("a",))).met is met


def test_a_hang_that_nobody_noticed_misses_the_goal() -> None:
    assert verdict("noticed", measured(HANG, downs=(), victims=("a",))).met is False


@pytest.mark.parametrize(("stuck", "met"), [(2, True), (3, False)])
def test_stuck_requests_are_a_share_of_the_new_ones(stuck: int, met: bool) -> None:
    assert verdict("stuck", measured(HANG, stuck=stuck)).met is met


@pytest.mark.parametrize(("opened_s", "met"), [(48.0, True), (48.1, False), (None, False)], ids=str)
def test_an_instance_is_back_within_its_load_time_and_15_s(
    opened_s: float | None, met: bool
) -> None:
    down = Down(instance="a", restarted_s=1.0, load_s=33.0, opened_s=opened_s)

    assert verdict("is back", measured(KILL, downs=(down,))).met is met


def test_a_request_before_it_has_generated_misses_one_goal_or_two() -> None:
    passed, kept = (
        Down(instance="a", restarted_s=1.0, load_s=33.0, opened_s=35.0, early=1, kept=count)
        for count in (0, 1)
    )

    assert verdict("before it has generated", measured(KILL)).met is True
    assert verdict("before it has generated", measured(KILL, downs=(passed,))).met is False
    assert verdict("refused as it loads", measured(KILL, downs=(passed,))).met is True
    assert verdict("refused as it loads", measured(KILL, downs=(kept,))).met is False


def test_requests_lost_before_their_first_token_count_with_retry_waiting_only() -> None:
    waiting = What(name="SIGKILL of a server", kills=True, retry="waiting")
    lost = request(-1, "status", first=None)

    assert verdict("no first token", measured(KILL, lost)).met is None
    assert verdict("no first token", measured(waiting, lost)).met is False
    assert verdict("no first token", measured(waiting, request(-1, "cut"))).met is True


def test_an_instance_that_nothing_struck_is_not_to_be_closed() -> None:
    other = Down(instance="b", closed_s=3.0, closings=1)
    fine, not_fine = (
        measured(KILL, victims=("a",), downs=downs) for downs in ((BACK,), (BACK, other))
    )

    assert verdict("nothing struck", fine).met is True
    assert verdict("nothing struck", fine, not_fine) == Verdict(
        goal="no instance is closed or restarted that nothing struck",
        seen="1 were, in 2 runs: SIGKILL of a server",
        met=False,
    )


def test_a_killing_request_strikes_as_many_as_it_may_cost() -> None:
    what = What(name="a killing request", kills=True, downs=1)

    assert verdict("nothing struck", measured(what)).met is True
    assert verdict("nothing struck", measured(what, downs=(BACK, BACK))).met is False


def test_a_fault_of_the_balancer_strikes_no_instance() -> None:
    what = What(name="SIGKILL of the watcher", kills=True, balances=True, downs=0)

    assert verdict("nothing struck", measured(what, downs=())).met is True
    assert verdict("nothing struck", measured(what)).met is False


@pytest.mark.parametrize(
    ("retry", "restarts", "met"),
    [
        ("unsent", 0, False),
        ("unsent", 1, True),
        ("unsent", 2, False),
        ("waiting", 2, True),
        ("waiting", 3, False),
    ],
)
def test_a_killing_request_costs_as_many_instances_as_it_may(
    retry: str, restarts: int, met: bool
) -> None:
    default = " (the default)" if retry == "unsent" else ""
    what = What(name="a killing request", kills=True, retry=retry, instances=3)

    assert (
        verdict(
            f"`retry: {retry}`{default} a killing", measured(what, downs=(BACK,) * restarts)
        ).met
        is met
    )


@pytest.mark.parametrize(
    ("waited", "downs", "met"), [(70.0, (), True), (50.0, (), False), (70.0, (BACK,), False)]
)
def test_a_queue_is_long_and_closes_nothing(
    waited: float, downs: tuple[Down, ...], met: bool
) -> None:
    run = measured(What(name="a long queue", queues=True), request(0, first=waited), downs=downs)

    assert verdict("long queue", run).met is met


def test_a_request_that_still_waits_counts_with_its_time_so_far() -> None:
    assert measured(KILL, request(0, "stopped", first=None)).longest_wait_s == 2


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("/var/run/docker.sock", True),
        ("/run/containerd/containerd.sock", True),
        ("/var/run", True),
        ("/", True),
        ("/var/lib/docker/volumes/configuration/_data", False),
        ("", False),
    ],
)
def test_a_mount_of_docker_s_socket_or_of_its_folder_is_found(source: str, found: bool) -> None:
    assert is_socket({"Source": source}) is found


def test_the_socket_misses_its_goal_with_where_it_is() -> None:
    assert verdict("Docker socket", sockets=["balancer: /run/docker.sock"]) == Verdict(
        goal="no container mounts the Docker socket",
        seen="balancer: /run/docker.sock",
        met=False,
    )


def test_the_page_has_a_row_of_each_run_and_a_word_for_each_goal() -> None:
    hostile = Hostile(
        kind="idle", clients=1000, ends={"closed": 1000}, shortest_s=10.0, longest_s=10.2
    )
    runs = (
        measured(KILL, request(-1, "cut"), request(1)),
        measured(HANG, stuck=1),
        measured(What(name="SIGKILL of an Nginx worker", balances=True), downs=()),
        measured(What(name="hostile clients", balances=True), downs=(), hostile=(hostile,)),
        measured(What(name="a long queue", queues=True), downs=()),
    )

    page = render(runs, verdicts(runs, ()), ("Here.",))

    assert "| no container mounts the Docker socket | no mount of it | met |" in page
    assert (
        "| SIGKILL of a server | unsent | 1 | 1 (1 cut) | 0 | 1 | 0 |  | 0.4 | 35.0 | 33.0 | 0 (0) "
        "| 1 of 2 |" in page
    )
    assert "| 1 (1.0%) | 0.4 |" in page
    assert "| SIGKILL of an Nginx worker | 1 | 0 | 0 | 0 | 35.0 | 0 |" in page
    assert "| idle | 1000 | 1000 closed | 10.0 to 10.2 |" in page
    assert "## A long queue" in page


def test_the_raw_numbers_have_each_lost_request_and_how_many_ended_well() -> None:
    told = measured(KILL, request(-1, "cut"), request(1), request(1.5)).to_json()

    assert [one["end"] for one in told["lost"]] == ["cut"]  # type: ignore[attr-defined]
    assert told["ended_well_by_second"] == {3: 2}
    assert "requests" not in told
