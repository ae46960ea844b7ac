"""Updates under clients that never ask twice: the short form of ``make bench-rolling``."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.engine import balancer_log
from tests.engine.balancer_log import Sent
from tests.engine.rolling_changes import Change, tagged
from tests.engine.rolling_load import LIGHT
from tests.engine.rolling_measure import measure
from tests.engine.rolling_report import Measured
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES

pytestmark = pytest.mark.engine

LOAD_DELAY_S = 10
ROLLED = ("server image", "CPU sets", "server flag")
RELOADED = ("balancer setting", "instances 2 → 3 → 2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """
    All changes, one after the other.

    Attributes:
        measured: by name of the change.
        runs: of the command line, by the same.
        logged: by the balancer in the last one.
        loading: when each instance began to load in the last one, in seconds since the epoch, by
            its address.
    """

    measured: dict[str, Measured]
    runs: dict[str, tuple[Run, ...]]
    logged: tuple[Sent, ...]
    loading: dict[str, float]


def _changes(image: str) -> Iterator[Change]:
    yield Change(name=RELOADED[0], settings=({"balancer": {"read-timeout-s": 601}},))
    counts = tuple({"placement": {"instances-per-node": count}} for count in (3, 2))
    yield Change(name=RELOADED[1], settings=counts)
    yield Change(name=ROLLED[0], settings=({"server": {"image": image}},))
    yield Change(name=ROLLED[1], settings=({"placement": {"cores-per-instance": 2}},))
    # Behind all others, which it would delay.
    slow = {"flags": {"load-delay": str(LOAD_DELAY_S)}}
    yield Change(name=ROLLED[2], settings=({"server": slow},))


@pytest.fixture(scope="module")
def updated(created: tuple[Stack, Run]) -> Iterator[Updated]:
    stack, _ = created
    stack.as_made = False
    with tagged(stack, INSTANCES[0], 1) as (image,):
        measured, runs = {}, {}
        now: dict[str, dict[str, Any]] = {}
        try:
            for change in _changes(image):
                since = time.time()
                measured[change.name], runs[change.name] = measure(stack, change, now, LIGHT)
            yield Updated(
                measured=measured,
                runs=runs,
                logged=balancer_log.read(stack.container("balancer"), since).sent,
                loading=dict(_loading(stack)),
            )
        finally:
            stack.configure({"rollout": {"max-unavailable": 2}})
            back = stack.up()
            stack.configure({})
            assert back.status == 0, back.output


def _loading(stack: Stack) -> Iterator[tuple[str, float]]:
    for row in stack.outputs()["plan"]:
        started = stack.container(row["instance"]).attrs["State"]["StartedAt"]
        at = datetime.fromisoformat(f"{started[:19]}+00:00").timestamp()
        yield f"{row['address']}:{row['port']}", at


@pytest.mark.parametrize("name", [*RELOADED, *ROLLED])
def test_no_request_is_lost(updated: Updated, name: str) -> None:
    measured = updated.measured[name]

    assert [(one.end, one.error) for one in measured.requests if one.end != "done"] == []
    assert measured.during


@pytest.mark.parametrize("name", ROLLED)
def test_what_replaces_instances_closes_one_at_a_time(updated: Updated, name: str) -> None:
    assert updated.measured[name].least_open == 1
    (run,) = updated.runs[name]
    touched = [step.name for step in run.changed() if step.name.startswith("local-node")]
    half = len(touched) // 2
    assert {one.removesuffix("-activation") for one in touched[:half]} == {INSTANCES[0]}
    assert {one.removesuffix("-activation") for one in touched[half:]} == {INSTANCES[1]}


@pytest.mark.parametrize("name", RELOADED)
def test_what_replaces_none_leaves_all_open(updated: Updated, name: str) -> None:
    assert updated.measured[name].least_open == 2
    assert [one for run in updated.runs[name] for one in run.names("create-replacement")] == []


def test_one_more_instance_gets_requests_before_it_is_taken_away_again(updated: Updated) -> None:
    measured = updated.measured[RELOADED[1]]

    assert measured.instances == 3
    assert len({one.instance for one in measured.requests}) == 3


def test_no_request_is_sent_to_an_instance_that_loads(updated: Updated) -> None:
    """Not even one that is then sent to another: its first request is one that it answers."""
    sent = [(server, one) for one in updated.logged for server, _ in one.tries]

    assert {status for one in updated.logged for _, status in one.tries} == {"200"}
    assert {len(one.tries) for one in updated.logged} == {1}
    for address, began in updated.loading.items():
        its = [one for server, one in sent if server == address]
        loaded = began + LOAD_DELAY_S
        assert [one for one in its if one.ended > began and one.began < loaded] == []
        assert any(one.ended <= began for one in its)
        assert any(one.began >= loaded for one in its)
