"""The operator's commands on a stack that serves: what they show, and what they leave behind."""

import http.client
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.engine.load import Load, clients
from tests.engine.stack import ROOT, Run, Stack
from tests.engine.test_rollout import CHANGED_FLAG
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

FIRST, SECOND = INSTANCES
UPSTREAMS = {FIRST: ".16:8000", SECOND: ".18:8002"}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    status: int
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Runs commands on a stack, as the Makefile does."""

    stack: Stack

    def __call__(self, command: str, *arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lifecycle", command, self._stack_file(), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _stack_file(self) -> str:
        """The stack's file under the name that tells the stack's, beside the project's."""
        folder = self.stack.folder
        file = folder / f"Pulumi.{self.stack.name}.yaml"
        if not file.exists():
            file.symlink_to(folder / "stack.yaml")
            (folder / "Pulumi.yaml").symlink_to(ROOT / "Pulumi.yaml")
        return str(file)


@pytest.fixture
def onlooker(created: tuple[Stack, Run]) -> Operator:
    """Looks only, so that nothing has to be changed back."""
    stack, _ = created
    return Operator(stack)


@pytest.fixture
def operator(stack: Stack) -> Iterator[Operator]:
    operator = Operator(stack)
    yield operator
    for name in INSTANCES:
        operator("uncordon", "--instance", name)


def _rows(output: str) -> dict[str, list[str]]:
    """The cells of a table's rows by their first."""
    # Make may say something before, such as that it installs a package.
    table = output[output.index("instance ") :].split("\n\n", 1)[0].splitlines()[1:]
    return {row[0]: row for row in (re.split(r"\s{2,}", line) for line in table)}


def _answered_by(load: Load) -> set[str]:
    return {name for name, end in UPSTREAMS.items() for at in load.answers if at.endswith(end)}


def _asked(endpoint: str, *, count: int = 6) -> Load:
    """Ask until *count* answers came, or a failure."""
    with clients(endpoint, MODEL, count=3) as load:
        _wait_until(lambda: sum(load.answers.values()) >= count or bool(load.failures))
    return load


def _wait_until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.1)


def test_status_shows_where_each_instance_runs_as_proven(onlooker: Operator) -> None:
    done = onlooker("status")

    rows = _rows(done.output)
    assert done.status == 0, done.output + done.error
    assert rows[FIRST][1:6] == ["0", "0", "0", "0", "0"]
    assert rows[SECOND][1:6] == ["0", "1", "1", "0", "0"]
    assert [rows[name][9] for name in (FIRST, SECOND, "balancer")] == ["open", "open", "running"]
    url = "http://127.0.0.1:" + str(onlooker.stack.settings["balancer"]["port"])
    assert done.output.endswith(f"\n2 of 2 instances serve at {url}\n")


def test_status_shows_since_when_and_how_often_an_instance_was_restarted(
    operator: Operator,
) -> None:
    container = operator.stack.container(FIRST)
    before = _restarts(container)
    container.exec_run(["sh", "-c", "kill -9 -1"])
    _wait_until(lambda: _restarts(container) == before + 1)

    row = _rows(operator("status").output)[FIRST]

    assert row[6].replace(" ", "T") == container.attrs["State"]["StartedAt"][:19]
    assert row[7] == str(before + 1)


def _restarts(container: Any) -> int:
    container.reload()
    return int(container.attrs["RestartCount"]) if container.status == "running" else 0


def test_status_says_which_model_is_not_loaded_yet(operator: Operator) -> None:
    operator.stack.container(FIRST).restart(timeout=5)

    loading = operator("status")
    _wait_until(lambda: operator("status").status == 0)

    assert loading.status == 1
    assert f"wrong: {FIRST} " in loading.output


def test_status_counts_the_requests_in_flight(onlooker: Operator, endpoint: str) -> None:
    with clients(endpoint, MODEL, count=4) as load:
        busy = _rows(onlooker("status").output)

    assert load.failures == []
    assert sum(int(busy[name][8]) for name in INSTANCES) >= 2
    assert int(busy["balancer"][8]) >= 4


def test_status_says_what_is_wrong_and_fails(operator: Operator) -> None:
    operator.stack.container(FIRST).stop(timeout=5)

    done = operator("status")

    assert done.status == 1
    assert f"wrong: {FIRST} is exited, not running\n" in done.output
    assert "\n1 of 2 instances serves at " in done.output


def test_logs_come_behind_the_name_of_who_wrote_them(onlooker: Operator) -> None:
    every = onlooker("logs", "--lines", "3").output.splitlines()
    one = onlooker("logs", "--instance", SECOND, "--lines", "3").output.splitlines()

    assert {line.split(" | ")[0].rstrip() for line in every} == {FIRST, SECOND, "balancer"}
    assert len(every) == 9
    assert one == [line for line in every if line.startswith(SECOND)]


def test_a_cordoned_instance_gets_no_request_and_is_no_drift(
    operator: Operator, endpoint: str
) -> None:
    done = operator("cordon", "--instance", FIRST)

    load = _asked(endpoint)
    preview = operator.stack.preview("--expect-no-changes")
    shown = operator("status")
    assert done.status == 0, done.error
    assert (
        done.output == f"{FIRST} is cordoned; 1 of 2 instances is open; it has nothing in flight\n"
    )
    assert (_answered_by(load), load.failures) == ({SECOND}, [])
    assert preview.status == 0, preview.output
    assert f"cordoned: {FIRST}\n" in preview.output
    assert "drift:" not in preview.output
    assert (shown.status, _rows(shown.output)[FIRST][9]) == (0, "cordoned")


def test_what_a_cordoned_instance_has_in_flight_is_not_cut(
    operator: Operator, endpoint: str
) -> None:
    with clients(endpoint, MODEL, count=4) as load:
        _wait_until(lambda: len(load.answers) == 2)
        done = operator("cordon", "--instance", FIRST)

    assert done.status == 0, done.error
    assert load.failures == []


def test_a_cordon_holds_through_a_rolling_update(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", SECOND)
    before = operator.stack.container(SECOND).id

    operator.stack.configure(CHANGED_FLAG)
    run = operator.stack.up()

    load = _asked(endpoint)
    shown = _rows(operator("status").output)
    assert run.status == 0, run.output
    assert operator.stack.container(SECOND).id != before
    assert (_answered_by(load), load.failures) == ({FIRST}, [])
    assert (shown[FIRST][9], shown[SECOND][9]) == ("open", "cordoned")


def test_a_cordon_holds_through_a_repair(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", FIRST)
    operator.stack.container(FIRST).stop(timeout=5)

    run = operator.stack.up()

    assert run.names("update") == [f"{FIRST}-activation"]
    assert _answered_by(_asked(endpoint)) == {SECOND}
    assert _rows(operator("status").output)[FIRST][9] == "cordoned"


def test_an_uncordoned_instance_serves_again(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", FIRST)

    done = operator("uncordon", "--instance", FIRST)

    assert done.status == 0, done.error
    assert done.output == f"{FIRST} is open again; 2 of 2 instances are open\n"
    assert _answered_by(_asked(endpoint, count=12)) == {FIRST, SECOND}
    preview = operator.stack.preview("--expect-no-changes")
    assert preview.status == 0, preview.output
    assert "cordoned:" not in preview.output


@pytest.mark.parametrize("harm", ["stopped", "re-pinned"])
def test_what_does_not_run_as_planned_is_opened_by_the_next_update_only(
    operator: Operator, harm: str
) -> None:
    operator("cordon", "--instance", FIRST)
    if harm == "stopped":
        operator.stack.container(FIRST).stop(timeout=5)
    else:
        operator.stack.container(FIRST).update(cpuset_cpus="1")

    done = operator("uncordon", "--instance", FIRST)

    assert done.status == 1
    assert f"{FIRST}: opening it: the cordon is off, but it " in done.error
    assert _rows(operator("status").output)[FIRST][9] in ("closed", "exited")
    assert operator.stack.up().status == 0
    assert _rows(operator("status").output)[FIRST][9] == "open"


def test_the_last_open_instance_is_cordoned_by_force_only(
    operator: Operator, endpoint: str
) -> None:
    operator("cordon", "--instance", FIRST)

    refused = operator("cordon", "--instance", SECOND)
    answers = _asked(endpoint)
    forced = operator("cordon", "--instance", SECOND, "--force")

    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    connection.request("GET", "/v3/models")
    response = connection.getresponse()
    shown = operator("status")
    assert refused.status == 1
    assert "it is the only one of 2 instances that is open" in refused.error
    assert _answered_by(answers) == {SECOND}
    assert forced.output.startswith(f"{SECOND} is cordoned; 0 of 2 instances are open")
    assert response.status == 503
    assert (shown.status, "\n0 of 2 instances serve at " in shown.output) == (1, True)
    connection.close()


@pytest.fixture
def make(operator: Operator) -> Iterator[Callable[..., Done]]:
    """Runs a target of the Makefile, which takes stack files of the project's folder only."""
    stack = operator.stack
    file = ROOT / f"Pulumi.{stack.name}.yaml"
    file.symlink_to(stack.folder / "stack.yaml")

    def run(*arguments: str) -> Done:
        done = subprocess.run(
            ["make", "-s", *arguments, f"STACK={stack.name}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    yield run
    file.unlink()


def test_make_hands_over_what_it_was_told(make: Callable[..., Done]) -> None:
    shown = make("status")
    one_line_each = make("logs", "LINES=1")
    one = make("logs", "INSTANCE=balancer")
    closed = make("cordon", f"INSTANCE={FIRST}")
    refused = make("cordon", f"INSTANCE={SECOND}")
    forced = make("cordon", f"INSTANCE={SECOND}", "FORCE=1")
    opened = make("uncordon", f"INSTANCE={FIRST}")

    assert (shown.status, set(_rows(shown.output))) == (0, {FIRST, SECOND, "balancer"})
    assert len(one_line_each.output.splitlines()) == 3
    assert {line.split(" | ")[0] for line in one.output.splitlines()} == {"balancer"}
    assert closed.output.startswith(f"{FIRST} is cordoned; 1 of 2 ")
    assert (refused.status, "say FORCE=1" in refused.error) == (2, True)
    assert forced.output.startswith(f"{SECOND} is cordoned; 0 of 2 ")
    assert opened.output == f"{FIRST} is open again; 1 of 2 instances is open\n"
