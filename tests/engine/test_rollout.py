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


def test_a_changed_flag_rolls_the_instances_one_by_one_without_a_lost_request(
    stack: Stack, endpoint: str
) -> None:
    with clients(endpoint, MODEL, count=4) as load:
        _wait_for_both(stack, load)
        stack.configure(CHANGED_FLAG)
        run = stack.up()
        _wait_for_both(stack, load)

    assert run.status == 0, run.output
    assert load.failures == []
    touched = [step.name for step in run.changed() if step.name.startswith("local-node")]
    half = len(touched) // 2
    assert {name.removesuffix("-activation") for name in touched[:half]} == {INSTANCES[0]}
    assert {name.removesuffix("-activation") for name in touched[half:]} == {INSTANCES[1]}


def test_without_the_drain_the_same_change_loses_requests(stack: Stack, endpoint: str) -> None:
    """Shows that the test above can fail, and what the drain is worth."""
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


def test_an_image_is_changed_fails_and_is_changed_back(stack: Stack, endpoint: str) -> None:
    image = stack.container(INSTANCES[0]).attrs["Config"]["Image"]
    good, bad = "ovms-numa-try/server:good", "ovms-numa-try/server:bad"
    helper = stack.client.containers.create(image)
    helper.commit("ovms-numa-try/server", "good", changes=["LABEL version=2"])
    helper.commit("ovms-numa-try/server", "bad", changes=['ENTRYPOINT ["false"]'])
    helper.remove()
    try:
        stack.configure({"server": {"image": good}})
        changed = stack.up()
        stack.configure({"server": {"image": bad}})
        failed = stack.up()
        with clients(endpoint, MODEL, count=2) as load:
            wait_until(lambda: sum(load.answers.values()) > 3)
        images = [stack.container(name).attrs["Config"]["Image"] for name in INSTANCES]
        stack.configure({"server": {"image": good}})
        back = stack.up()
    finally:
        stack.configure({})
        assert stack.up().status == 0
        for tag in (good, bad):
            stack.client.images.remove(tag)

    assert changed.status == 0, changed.output
    assert failed.status != 0
    assert images == [bad, good]
    assert load.failures == []
    assert back.status == 0, back.output
