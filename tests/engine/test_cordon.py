"""A cordon on a stack that serves: what it keeps away from an instance, and what ends it."""

import http.client
from urllib.parse import urlsplit

import pytest

from tests.engine.load import clients, wait_until
from tests.engine.operator import FIRST, SECOND, Operator, answered_by, asked, table_rows
from tests.engine.test_rollout import CHANGED_FLAG
from tests.engine.test_up import MODEL

pytestmark = pytest.mark.engine


def test_a_cordoned_instance_gets_no_request_and_is_no_drift(
    operator: Operator, endpoint: str
) -> None:
    done = operator("cordon", "--instance", FIRST)

    load = asked(endpoint)
    preview = operator.stack.nothing_to_do()
    shown = operator("status")
    assert done.status == 0, done.error
    assert (
        done.output == f"{FIRST} is cordoned; 1 of 2 instances is open; it has nothing in flight\n"
    )
    assert (answered_by(load), load.failures) == ({SECOND}, [])
    assert f"cordoned: {FIRST}\n" in preview.output
    assert "drift:" not in preview.output
    assert (shown.status, table_rows(shown.output)[FIRST][10]) == (0, "cordoned")


def test_what_a_cordoned_instance_has_in_flight_is_not_cut(
    operator: Operator, endpoint: str
) -> None:
    with clients(endpoint, MODEL, count=4) as load:
        wait_until(lambda: len(load.answers) == 2)
        done = operator("cordon", "--instance", FIRST)

    assert done.status == 0, done.error
    assert load.failures == []


def test_a_cordon_holds_through_a_rolling_update(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", SECOND)
    before = operator.stack.container(SECOND).id

    operator.stack.configure(CHANGED_FLAG)
    run = operator.stack.up()

    load = asked(endpoint)
    shown = table_rows(operator("status").output)
    assert run.status == 0, run.output
    assert operator.stack.container(SECOND).id != before
    assert (answered_by(load), load.failures) == ({FIRST}, [])
    assert (shown[FIRST][10], shown[SECOND][10]) == ("open", "cordoned")


def test_a_cordon_holds_through_a_repair(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", FIRST)
    operator.stack.container(FIRST).stop(timeout=5)

    run = operator.stack.up()

    assert run.names("update") == [f"{FIRST}-activation"]
    assert answered_by(asked(endpoint)) == {SECOND}
    assert table_rows(operator("status").output)[FIRST][10] == "cordoned"


def test_an_uncordoned_instance_serves_again(operator: Operator, endpoint: str) -> None:
    operator("cordon", "--instance", FIRST)

    done = operator("uncordon", "--instance", FIRST)

    assert done.status == 0, done.error
    assert done.output == f"{FIRST} is open again; 2 of 2 instances are open\n"
    assert answered_by(asked(endpoint, count=12)) == {FIRST, SECOND}
    preview = operator.stack.nothing_to_do()
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
    assert table_rows(operator("status").output)[FIRST][10] in ("closed", "exited")
    assert operator.stack.up().status == 0
    assert table_rows(operator("status").output)[FIRST][10] == "open"


def test_the_last_open_instance_is_cordoned_by_force_only(
    operator: Operator, endpoint: str
) -> None:
    operator("cordon", "--instance", FIRST)

    refused = operator("cordon", "--instance", SECOND)
    answers = asked(endpoint)
    forced = operator("cordon", "--instance", SECOND, "--force")

    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    connection.request("GET", "/v3/models")
    response = connection.getresponse()
    shown = operator("status")
    assert refused.status == 1
    assert "it is the only one of 2 instances that is open" in refused.error
    assert answered_by(answers) == {SECOND}
    assert forced.output.startswith(f"{SECOND} is cordoned; 0 of 2 instances are open")
    assert response.status == 503
    assert (shown.status, "\n0 of 2 instances serve at " in shown.output) == (1, True)
    connection.close()
