"""Marks of the watcher in a generation, which the real script makes of members and marks."""

import pytest

from lifecycle.member import is_intact, member_path, render_member, unwell_path
from tests.lifecycle.test_balancer_config import change, current
from tests.lifecycle.test_bounded_members import bounded
from tests.lifecycle.world import World

OPEN = render_member("10.0.0.2", 8000, 3, is_open=True, models=("m",))
CLOSED = render_member("10.0.0.2", 8000, 3, is_open=False)
REASON = b"refused connections\n"


def server_line(world: World, folder: str = "serving") -> str:
    return current(world)[f"{folder}/a.conf"].splitlines()[-1]


def test_a_marked_member_is_closed_where_nginx_reads_it_and_stays_as_it_was_written(
    world: World,
) -> None:
    change(world, {member_path("a"): OPEN})
    change(world, {unwell_path("a"): REASON})

    assert server_line(world) == "server 10.0.0.2:8000 weight=3 max_fails=0 down;"
    member = current(world)[member_path("a")].encode()
    assert (member, is_intact(member)) == (OPEN, True)


def test_without_its_mark_it_is_open_again(world: World) -> None:
    change(world, {member_path("a"): OPEN, unwell_path("a"): REASON})
    change(world, {}, unwell_path("a"))

    assert server_line(world) == "server 10.0.0.2:8000 weight=3 max_fails=0;"


def test_it_is_closed_too_where_members_have_a_bound(world: World) -> None:
    change(world, {member_path("a"): OPEN, "nginx.conf": bounded(12)})
    change(world, {unwell_path("a"): REASON})

    line = server_line(world, "at-most-12")
    assert line == "server 10.0.0.2:8000 weight=3 max_fails=0 max_conns=12 down;"


@pytest.mark.parametrize("then", [CLOSED, None], ids=["closed", "removed"])
def test_a_mark_goes_where_its_member_is_closed_by_others_or_gone(
    world: World, then: bytes | None
) -> None:
    change(world, {member_path("a"): OPEN, unwell_path("a"): REASON})

    change(world, {member_path("a"): then} if then else {}, *([] if then else [member_path("a")]))

    assert unwell_path("a") not in current(world)


def test_a_mark_stays_when_something_else_is_changed(world: World) -> None:
    change(world, {member_path("a"): OPEN, unwell_path("a"): REASON})

    change(world, {member_path("b"): OPEN})

    assert current(world)[unwell_path("a")] == REASON.decode()
    assert current(world)["serving/b.conf"].endswith(" max_fails=0;\n")
