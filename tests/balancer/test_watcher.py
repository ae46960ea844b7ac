"""What the watcher does to members that stop serving, in the balancer's own container."""

import re

import pytest

from lifecycle.member import cordon_path, member_path, render_member, unwell_path
from tests.balancer.asking import statuses, wait_until
from tests.balancer.conftest import Serve
from tests.balancer.real_nginx import MODEL, NOBODY, RealNginx
from tests.balancer.scripted_server import ScriptedServer
from tests.balancer.watching import (
    FIRST,
    SECOND,
    asked,
    reason,
    wait_until_closed,
    wait_until_open,
    watched,
)

pytestmark = pytest.mark.engine

WATCHED = True
BUSY = 'ovms_current_graphs{name="m"} 3.0\novms_responses{name="m",method="Stream"} '


def make_dead(server: ScriptedServer) -> None:
    server.die()


def make_loading(server: ScriptedServer) -> None:
    server.ready = 404


def make_failing(server: ScriptedServer) -> None:
    server.ready = 503


def make_silent(server: ScriptedServer) -> None:
    server.answers.clear()


def make_cutting(server: ScriptedServer) -> None:
    server.cuts = True


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_dead, "(refused|cut) connections"),
        (make_loading, "was not ready with the model m: it answered 404"),
        (make_failing, "was not ready with the model m: it answered 503"),
        (make_silent, "answered nothing within 1.5 s, twice in a row"),
        (make_cutting, "cut connections"),
    ],
    ids=["dead", "loading", "failing", "silent", "cutting"],
)
def test_a_member_that_does_not_serve_is_closed_with_the_reason(
    nginx: RealNginx, serve: Serve, make: object, why: str
) -> None:
    out, other = serve(2)
    watched(out)

    make(out)  # type: ignore[operator]

    assert re.fullmatch(why, wait_until_closed(nginx))
    before = len(out.got)
    assert statuses(nginx, 6) == {200: 6}
    assert (len(out.got), len(other.got) >= 6) == (before, True)


def test_a_member_without_a_container_is_closed(nginx: RealNginx, serve: Serve) -> None:
    serve(1)
    nginx.put(
        {
            member_path("local-node0-9"): render_member(
                NOBODY, 8000, 1, is_open=True, models=(MODEL,)
            )
        }
    )

    wait_until(lambda: reason(nginx, "local-node0-9") is not None)

    assert statuses(nginx, 4) == {200: 4}


def test_one_that_serves_again_gets_no_request_before_it_has_generated(
    nginx: RealNginx, serve: Serve
) -> None:
    out, other = serve(2)
    out.ready = 503
    wait_until_closed(nginx)
    out.status = 500

    out.ready = 200
    wait_until(lambda: out.got.count("1") > 1)
    assert statuses(nginx, 6) == {200: 6}
    assert reason(nginx) is not None
    assert set(out.got) == {"1"}, "nothing but the watcher's own completion"

    out.status = 200
    wait_until_open(nginx)
    assert statuses(nginx, 6) == {200: 6}
    assert "hi" in out.got
    assert "hi" in other.got


def test_one_that_hangs_while_it_generates_stays_closed_and_is_asked_once(
    nginx: RealNginx, serve: Serve
) -> None:
    out, _ = serve(2)
    out.ready = 503
    wait_until_closed(nginx)
    out.holds_all = True

    out.ready = 200
    wait_until(lambda: "1" in out.got)
    watched(out)

    assert out.got == ["1"]
    assert reason(nginx) is not None


def test_a_single_look_without_an_answer_closes_nothing(nginx: RealNginx, serve: Serve) -> None:
    out, _ = serve(2)
    watched(out)
    out.answers.clear()
    before = out.asked
    wait_until(lambda: out.asked > before)
    out.answers.set()
    watched(out)

    assert reason(nginx) is None


def test_where_no_other_answers_silence_closes_nothing(nginx: RealNginx, serve: Serve) -> None:
    """The whole host may be slow; and one that dies is closed all the same."""
    servers = serve(2)
    for server in servers:
        watched(server)
    for server in servers:
        server.answers.clear()
    for server in servers:
        asked(server, 8)
    assert [reason(nginx), reason(nginx, SECOND)] == [None, None]

    servers[0].die()

    assert wait_until_closed(nginx) == "refused connections"
    assert reason(nginx, SECOND) is None


def test_a_long_queue_is_no_hang_and_no_answer_at_all_is_one(
    nginx: RealNginx, serve: Serve
) -> None:
    nginx.configure(read_timeout_s=3)
    out, _ = serve(2)
    for answered in range(10):
        out.metrics = f"{BUSY}{answered}.0\n"
        watched(out, looks=1)
    assert reason(nginx) is None

    assert wait_until_closed(nginx) == ("had answered nothing for 3 s, with 3 requests in progress")


def test_nothing_in_progress_is_no_hang_however_long(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(read_timeout_s=1)
    out, _ = serve(2)
    out.metrics = BUSY.replace("3.0", "0.0") + "7.0\n"
    watched(out, looks=6)

    assert reason(nginx) is None


def test_members_that_others_closed_are_left_to_them(nginx: RealNginx, serve: Serve) -> None:
    """By an update, or by an operator's cordon."""
    out, other = serve(2)
    out.ready = 503
    wait_until_closed(nginx)

    nginx.open([out, other], closed=[out])
    nginx.put({cordon_path(FIRST): b""})
    out.ready = 200
    looks = out.looks
    watched(other)

    assert reason(nginx) is None
    assert out.looks <= looks + 1, "one that had begun"
    assert statuses(nginx, 4) == {200: 4}
    assert "hi" not in out.got


def test_a_mark_goes_with_the_member(nginx: RealNginx, serve: Serve) -> None:
    out, other = serve(2)
    out.ready = 503
    wait_until_closed(nginx)

    nginx.put({}, member_path(FIRST))

    assert unwell_path(FIRST) not in nginx.files()
    assert statuses(nginx, 4) == {200: 4}
    assert len(other.got) == 4


def test_with_affinity_too_a_closed_member_gets_nothing(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(affinity="session")
    out, other = serve(2)
    out.ready = 503
    wait_until_closed(nginx)

    answers = [nginx.ask(headers={"X-Session-Id": f"s{n}"}) for n in range(8)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.upstream for answer in answers} == {other.name}
    assert out.got == []
