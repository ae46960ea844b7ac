import json
from pathlib import Path
from typing import Any

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.found import BALANCER
from lifecycle.member import member_address, member_path
from lifecycle.traffic import Request, parse, render, traffic
from tests.lifecycle.stack_double import FIRST, SECOND, Stack, stand_up_stack
from tests.lifecycle.world import World

ONE, TWO = "10.0.0.16:8000", "10.0.0.18:8002"
NAMES = {ONE: FIRST, TWO: SECOND}


@pytest.fixture
def stack(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return stand_up_stack(world, tmp_path, monkeypatch)


def line(**fields: Any) -> str:
    """A line of the balancer's log, as Nginx writes it."""
    logged = {
        "time": "2026-03-01T09:08:07+00:00",
        "request": "4c2f",
        "method": "POST",
        "path": "/v3/chat/completions",
        "status": 200,
        "bytes": 900,
        "seconds": 2.5,
        "upstream": ONE,
        "upstream_status": "200",
        "first_byte": "0.125",
        "completion": "OK",
    }
    return json.dumps(logged | fields)


def one(**fields: Any) -> Request:
    (request,) = parse([line(**fields)])
    return request


def rows(*lines: str) -> dict[str, list[str]]:
    table = render(tuple(parse(lines)), NAMES).split("\n\n")[0].splitlines()[1:]
    cells = ([cell.strip() for cell in row.split("  ") if cell] for row in table)
    return {row[0]: row[1:] for row in cells}


def test_a_request_is_counted_where_it_was_tried_last() -> None:
    again = one(upstream=f"{ONE}, {TWO}", first_byte="-, 0.250")
    elsewhere = one(upstream=f"{ONE} : {TWO}", first_byte="0.001 : 0.250")

    for request in (again, elsewhere):
        assert (request.upstream, request.tries, request.first_byte_s) == (TWO, 2, 0.25)


def test_what_no_server_was_asked_is_the_balancer_s_own() -> None:
    assert one(upstream="", first_byte="", status=404).upstream == ""
    # Where all are closed, Nginx logs the group, once for each place it was looked at from.
    closed = one(upstream="model_servers : model_servers", first_byte="- : -", status=503)
    assert (closed.first_byte_s, closed.tries) == (None, 0)
    shown = rows(line(upstream="model_servers", first_byte="-", status=503), line())
    assert shown["balancer itself"][:3] == ["1", "50 %", "503: 1"]


def test_other_lines_and_halves_of_lines_are_passed_over() -> None:
    lines = ["2026/03/01 09:08:07 [notice] 1#1: start worker", line(), line()[:40], "{}", ""]

    assert len(list(parse(lines))) == 1


def test_the_table_has_percentiles_statuses_and_what_was_cut() -> None:
    many = [line(first_byte=f"{n / 1000:.3f}", seconds=n / 10) for n in range(1, 101)]
    cut = line(completion="", seconds=99, first_byte="0.050")

    first = rows(*many, cut, line(status=502, upstream=TWO, first_byte="-"))[FIRST]

    assert first == [
        "101", "99 %", "200: 101", "1", "0", "0.050 s", "0.099 s", "5.000 s", "9.900 s",
    ]  # fmt: skip


def test_instances_without_requests_are_shown_and_strangers_keep_their_address() -> None:
    shown = rows(line(upstream="10.0.0.99:8000"))

    assert shown[SECOND][:2] == ["0", "0 %"]
    assert shown["10.0.0.99:8000"][0] == "1"


def test_a_log_without_requests_gives_a_table_of_nothing() -> None:
    assert rows()[FIRST] == ["0", "-", "-", "0", "0", "-", "-", "-", "-"]


def test_the_log_of_the_stack_s_balancer_is_read(stack: Stack) -> None:
    address = member_address(stack.read(member_path(FIRST)) or b"")
    stack.machines[BALANCER].log = f"start worker process\n{line(upstream=address)}\n"

    shown = traffic(stack.file)

    assert shown.endswith("\n\n1 request")
    # Both instances of this stack have one address.
    assert any(row.split()[:2] == [SECOND, "1"] for row in shown.splitlines())
    assert not [call for call in stack.world.calls if "since" in call]


def test_a_span_of_time_is_handed_to_docker(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.traffic.time.time", lambda: 10_000.5)

    traffic(stack.file, "2h")

    assert "logs since 2800" in " ".join(stack.world.calls)


@pytest.mark.parametrize("since", ["10", "0m", "-5m", "1w", "5 m"])
def test_a_span_that_is_none_is_refused(stack: Stack, since: str) -> None:
    with pytest.raises(LifecycleError, match="write a whole number and s, m, h or d"):
        traffic(stack.file, since)


def test_a_stack_without_a_balancer_is_told(stack: Stack) -> None:
    del stack.world.engine.machines[stack.machines[BALANCER].name]

    with pytest.raises(LifecycleError, match="there is no balancer"):
        traffic(stack.file)
