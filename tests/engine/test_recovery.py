"""A run is killed (SIGKILL) at a chosen point: `make recover`, then `up`, and all is as planned."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engine import killing
from tests.engine.killing import Point
from tests.engine.load import clients, wait_until
from tests.engine.stack import ROOT, Run, Stack
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

SETTINGS = {
    "hosts": {"local": {"subnet": "172.30.112.0/24"}},
    "placement": {"instances-per-node": 2, "cores-per-instance": 1, "cpu-sharing": "allowed"},
    "balancer": {"port": 18090, "keepalive-min-timeout-s": 1},
    "rollout": {"start-timeout-s": 120, "drain-timeout-s": 120, "stop-timeout-s": 5},
}
FIRST, SECOND = INSTANCES
PREFIX = "ovms-numa-recovery"
TABLE = ROOT / ".run" / "recovery.md"
# What changes the configuration, inside the balancer or, before that runs, in a helper.
PUSHING = r"container exec_start: flock[\s\S]*"

CREATING = [
    Point(words="making the state's id", begins="create state-id"),
    Point(words="staging a build context", begins="create base-.*-context"),
    Point(words="building an image", begins="create devserver-[0-9a-f]+"),
    Point(words="creating a network", docker=f"network create {PREFIX}-instances"),
    Point(words="creating a volume", docker=f"volume create {PREFIX}-balancer.*"),
    Point(words="creating the balancer", docker=f"container create {PREFIX}-balancer"),
    Point(words="writing the first configuration", docker=PUSHING),
    Point(words="starting the balancer", docker=f"container start {PREFIX}-balancer"),
    Point(words="converting the model", docker=f"container start (?!{PREFIX}).*"),
    Point(words="creating an instance", docker=f"container create {PREFIX}-{SECOND}"),
    Point(words="waiting for the model", says=f"{FIRST}: waiting.*"),
]
ROLLING = [
    Point(words="closing the first", says=f"{FIRST}: closed"),
    Point(words="the first is deleted", docker=f"container destroy {PREFIX}-{FIRST}"),
    Point(words="creating the first anew", docker=f"container create {PREFIX}-{FIRST}"),
    Point(words="starting the first", docker=f"container start {PREFIX}-{FIRST}"),
    Point(words="draining the second", says=f"{SECOND}: draining.*"),
    Point(words="the second is deleted", docker=f"container destroy {PREFIX}-{SECOND}"),
]


def _words(point: Point) -> str:
    return point.words


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    """The table of kills, written where nothing is committed."""
    rows = ["| killed while | what `make recover` did | recover | then `up` |", "|---|---|---|---|"]
    yield rows
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(
        name="recovery", folder=tmp_path_factory.mktemp("recovery"), settings=dict(SETTINGS)
    )
    stack.clear()
    try:
        yield stack
    finally:
        killing.recover(stack)
        stack.configure({})
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


def _recover(stack: Stack) -> killing.Recovery:
    recovery = killing.recover(stack)
    assert recovery.status == 0, recovery.output
    assert "removed the lock of process" in recovery.output
    assert killing.left_behind(stack) == []
    return recovery


def _row(point: Point, recovery: killing.Recovery, up_s: float | None) -> str:
    """A row of the table; what is done after each kill (lock, plugins) is left out."""
    pending, things = "cleared the pending operation: ", "removed the "
    cleared = [line for line in recovery.lines() if line.startswith(pending)]
    removed = [
        line.partition(",")[0]
        for line in recovery.lines()
        if line.startswith(tuple(f"{things}{kind} " for kind in ("container", "network", "volume")))
    ]
    did = (
        [f"cleared {', '.join(line.removeprefix(pending) for line in cleared)}"] if cleared else []
    )
    did += [line.replace(things, "removed ").replace(f"{PREFIX}-", "") for line in removed]
    then = "killed again" if up_s is None else f"{up_s:.0f} s"
    return f"| {point.words} | {'; '.join(did) or '-'} | {recovery.seconds:.1f} s | {then} |"


def _converges(stack: Stack) -> float:
    """One `up` makes all as planned; the next preview is empty."""
    begun = time.monotonic()
    up = stack.up()
    seconds = time.monotonic() - begun
    assert up.status == 0, up.output
    stack.nothing_to_do()
    members = killing.members(stack)
    assert set(members) == set(INSTANCES)
    assert [line for line in members.values() if "down" in line] == []
    assert {stack.container(name).status for name in (*INSTANCES, "balancer")} == {"running"}
    assert killing.left_behind(stack) == []
    return seconds


def test_a_stack_is_made_although_each_run_but_the_last_is_killed(
    stack: Stack, rows: list[str]
) -> None:
    """Each run gets past the point where the one before it was killed."""
    for point in CREATING:
        killing.kill_at(stack, point)
        rows.append(_row(point, _recover(stack), None))

    rows[-1] = rows[-1].replace("killed again", f"{_converges(stack):.0f} s")


def _levels(stack: Stack) -> set[str]:
    """The log levels that the instances were started with."""
    return {stack.container(name).attrs["Config"]["Cmd"][-1] for name in INSTANCES}


def _flip(stack: Stack) -> str:
    """Change a setting that each instance is replaced for; return its value."""
    flipped = "WARNING" if _levels(stack) == {"INFO"} else "INFO"
    stack.configure({"server": {"log-level": flipped}})
    return flipped


@pytest.mark.parametrize("point", ROLLING, ids=_words)
def test_a_killed_rolling_update_is_finished_without_a_lost_request(
    stack: Stack, rows: list[str], point: Point
) -> None:
    endpoint = str(stack.outputs()["endpoint"])
    flipped = _flip(stack)

    with clients(endpoint, MODEL, count=2) as load:
        killing.kill_at(stack, point)
        recovery = _recover(stack)
        before = sum(load.answers.values())
        seconds = _converges(stack)

    assert load.failures == []
    assert sum(load.answers.values()) > before
    rows.append(_row(point, recovery, seconds))
    assert _levels(stack) == {flipped}


def test_a_killed_reload_is_done_by_the_next_up(stack: Stack, rows: list[str]) -> None:
    point = Point(words="pushing a changed configuration", docker=PUSHING)
    (level,) = _levels(stack)
    stack.configure({"server": {"log-level": level}, "balancer": {"read-timeout-s": 601}})

    killing.kill_at(stack, point)
    recovery = _recover(stack)

    rows.append(_row(point, recovery, _converges(stack)))


@pytest.mark.parametrize(
    "point",
    [
        Point(words="closing, then the old settings", says=f"{FIRST}: closed"),
        Point(words="stopping, then the old settings", docker=f"container die {PREFIX}-{FIRST}"),
    ],
    ids=_words,
)
def test_nothing_stays_closed_when_the_settings_are_put_back_after_a_kill(
    stack: Stack, rows: list[str], point: Point
) -> None:
    (level,) = _levels(stack)
    stack.configure({"server": {"log-level": "DEBUG"}})
    killing.kill_at(stack, point)
    recovery = _recover(stack)
    stack.configure({"server": {"log-level": level}})

    rows.append(_row(point, recovery, _converges(stack)))


def test_a_second_time_there_is_nothing_to_recover(stack: Stack) -> None:
    recovery = killing.recover(stack)

    assert (recovery.status, recovery.output) == (0, "recovery: nothing to recover\n")


def test_the_recovery_of_a_run_that_lives_is_refused(stack: Stack) -> None:
    """It replaces the instances, and so is at it for longer than the recovery needs to look."""
    flipped = _flip(stack)
    runs: list[Run] = []
    running = threading.Thread(target=lambda: runs.append(stack.up()))
    running.start()
    locks = stack.folder / "state" / ".pulumi" / "locks"
    try:
        wait_until(lambda: bool(list(locks.rglob("*.json"))))
        recovery = killing.recover(stack)
    finally:
        running.join()

    (run,) = runs
    assert run.status == 0, run.output
    assert _levels(stack) == {flipped}
    assert recovery.status == 1
    assert "and still runs" in recovery.output
    assert "kill -INT" in recovery.output
    assert killing.left_behind(stack) == []


def test_a_second_clone_with_a_state_of_its_own_leaves_the_first_ones_stack_alone(
    stack: Stack, tmp_path: Path
) -> None:
    clone = Stack(name=stack.name, folder=tmp_path / "clone", settings=dict(SETTINGS))
    before = {name: stack.container(name).id for name in (*INSTANCES, "balancer")}
    with ExitStack() as after:
        after.callback(shutil.rmtree, clone.folder)
        killing.kill_at(clone, Point(words="in the clone", begins="create balancer-.*"))

        # What a kill in the middle of writing the state may leave (seen).
        (attributes,) = clone.folder.rglob("recovery.json.attrs")
        attributes.write_text("")

        recovery = killing.recover(clone)

    assert recovery.status == 0, recovery.output
    assert "removed the half-written recovery.json.attrs" in recovery.output
    assert "removed the container" not in recovery.output
    assert {name: stack.container(name).id for name in (*INSTANCES, "balancer")} == before
    stack.nothing_to_do()


def test_make_recover_says_so_when_there_is_nothing_to_do(stack: Stack) -> None:
    run = subprocess.run(
        ["make", "-s", "recover", f"STACK={stack.name}"],
        cwd=ROOT,
        env={**os.environ, **killing.environment(stack)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.endswith(f"{stack.name}: nothing to recover\n")


def test_a_killed_destroy_is_finished_by_the_next(stack: Stack, rows: list[str]) -> None:
    point = Point(words="destroying the stack", docker=f"container destroy {PREFIX}-balancer")

    killing.kill_at(stack, point, "destroy")
    recovery = _recover(stack)
    begun = time.monotonic()
    destroyed = stack.destroy()

    assert destroyed.status == 0, destroyed.output
    assert stack.remains() == []
    rows.append(_row(point, recovery, time.monotonic() - begun))
