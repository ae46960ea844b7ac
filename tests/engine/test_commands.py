"""The operator's commands on a stack that serves: what they show, and that make hands over."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.load import clients, wait_until
from tests.engine.operator import FIRST, SECOND, Done, Operator, asked, table_rows
from tests.engine.stack import ROOT
from tests.engine.test_failing_version import model_away
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine


def test_status_shows_where_each_instance_runs_as_proven(onlooker: Operator) -> None:
    done = onlooker("status")

    rows = table_rows(done.output)
    assert done.status == 0, done.output + done.error
    assert rows[FIRST][1:6] == ["0", "0", "0", "0", "0"]
    assert rows[SECOND][1:6] == ["0", "1", "1", "0", "0"]
    assert [rows[name][10] for name in (FIRST, SECOND, "balancer")] == ["open", "open", "running"]
    url = "http://127.0.0.1:" + str(onlooker.stack.settings["balancer"]["port"])
    assert done.output.endswith(f"\n2 of 2 instances serve at {url}\n")


def test_status_shows_since_when_and_how_often_an_instance_was_restarted(
    operator: Operator,
) -> None:
    container = operator.stack.container(FIRST)
    before = _restarts(container)
    container.exec_run(["sh", "-c", "kill -9 -1"])
    wait_until(lambda: _restarts(container) == before + 1)

    row = table_rows(operator("status").output)[FIRST]

    assert row[7].replace(" ", "T") == container.attrs["State"]["StartedAt"][:19]
    assert row[8] == str(before + 1)


def _restarts(container: Any) -> int:
    container.reload()
    return int(container.attrs["RestartCount"]) if container.status == "running" else 0


def test_status_says_which_model_is_not_loaded_yet(operator: Operator) -> None:
    """It is loaded once the model is back, so that a look finds it so however late it comes."""
    container = operator.stack.container(FIRST)
    shown = [operator("status")]

    def shows(words: str) -> bool:
        shown.append(operator("status"))
        return words in shown[-1].output

    with model_away(operator.stack):
        container.restart(timeout=5)
        why = f"wrong: {FIRST} is not ready with the model {MODEL!r}: it answers 404\n"
        wait_until(lambda: shows(f"wrong: {FIRST} was closed by the watcher") and shows(why))
    loading = shown[-1]
    container.restart(timeout=5)
    wait_until(lambda: shows("\n2 of 2 instances serve at "))

    assert f"wrong: {FIRST} was closed by the watcher, as it " in loading.output
    assert "\n1 of 2 instances serves at " in loading.output
    assert [shown[0].status, loading.status, shown[-1].status] == [0, 1, 0]


def test_status_counts_the_requests_in_flight(onlooker: Operator, endpoint: str) -> None:
    with clients(endpoint, MODEL, count=4) as load:
        busy = table_rows(onlooker("status").output)

    assert load.failures == []
    assert sum(int(busy[name][9]) for name in INSTANCES) >= 2
    assert int(busy["balancer"][9]) >= 4


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


def test_requests_are_summed_up_by_instance(onlooker: Operator, endpoint: str) -> None:
    def summed_up() -> dict[str, int]:
        rows = onlooker("requests", "--since", "1h").output.splitlines()[1:]
        return {row.split()[0]: int(row.split()[1]) for row in rows if "node0" in row}

    before = summed_up()
    load = asked(endpoint, count=4)

    # Nginx writes the line of a request when its client has the answer.
    count = sum(before.values()) + sum(load.answers.values())
    wait_until(lambda: sum(summed_up().values()) == count)
    assert load.failures == []
    assert set(before) == {FIRST, SECOND}


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

    assert (shown.status, set(table_rows(shown.output))) == (0, {FIRST, SECOND, "balancer"})
    assert len(one_line_each.output.splitlines()) == 3
    assert {line.split(" | ")[0] for line in one.output.splitlines()} == {"balancer"}
    assert closed.output.startswith(f"{FIRST} is cordoned; 1 of 2 ")
    assert (refused.status, "say FORCE=1" in refused.error) == (2, True)
    assert forced.output.startswith(f"{SECOND} is cordoned; 0 of 2 ")
    assert opened.output == f"{FIRST} is open again; 1 of 2 instances is open\n"
