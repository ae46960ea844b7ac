"""What a change does to the instances, to what is in flight, and in which order."""

import pytest

from tests.engine.load import Load, clients, wait_until
from tests.engine.stack import Stack
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

CHANGED_FLAG = {"server": {"log-level": "WARNING"}}


def _wait_for_both(stack: Stack, load: Load) -> None:
    """Wait until each instance has answered a request that no other was asked first."""
    addresses = {f"{row['address']}:{row['port']}" for row in stack.outputs()["plan"]}
    load.answers.clear()
    wait_until(lambda: addresses <= set(load.answers))


def test_without_the_drain_a_changed_flag_loses_requests(stack: Stack, endpoint: str) -> None:
    """Shows that `test_updates_under_load` can fail, and what the drain is worth."""
    no_drain = {"rollout": {"drain": False, "stop-timeout-s": 1}}
    stack.configure(no_drain)
    assert stack.up().status == 0

    with clients(endpoint, MODEL, count=4) as load:
        _wait_for_both(stack, load)
        stack.configure({**CHANGED_FLAG, **no_drain})
        run = stack.up()

    assert run.status == 0, run.output
    assert load.failures


def test_a_preview_of_a_changed_flag_lists_the_instances_and_nothing_else(stack: Stack) -> None:
    stack.configure(CHANGED_FLAG)

    preview = stack.preview()

    changed = {step.name.removesuffix("-activation") for step in preview.changed()}
    assert changed == set(INSTANCES)


def test_a_balancer_setting_is_one_reload(stack: Stack) -> None:
    balancer = stack.container("balancer")
    started = balancer.attrs["State"]["StartedAt"]
    stack.configure({"balancer": {"read-timeout-s": 601}})

    run = stack.up()

    balancer.reload()
    conf = balancer.exec_run(["cat", "/etc/ovms-numa/current/nginx.conf"]).output.decode()
    assert [(step.op, step.name) for step in run.changed()] == [("update", "balancer-pushed")]
    assert balancer.attrs["State"]["StartedAt"] == started
    assert "proxy_read_timeout 601s;" in conf


def test_a_configuration_that_nginx_refuses_changes_nothing(stack: Stack, endpoint: str) -> None:
    balancer = stack.container("balancer")
    before = balancer.exec_run(["readlink", "/etc/ovms-numa/current"]).output
    balancer.exec_run(["sh", "-c", "echo 'broken' > /etc/ovms-numa/current/members/broken.conf"])

    stack.configure({"balancer": {"read-timeout-s": 602}})
    run = stack.up()

    assert run.status != 0
    assert "Nginx keeps the one it has" in run.output
    assert balancer.exec_run(["readlink", "/etc/ovms-numa/current"]).output == before
    balancer.exec_run(["rm", "/etc/ovms-numa/current/members/broken.conf"])
    with clients(endpoint, MODEL, count=1) as load:
        wait_until(lambda: sum(load.answers.values()) > 0)
    assert load.failures == []
