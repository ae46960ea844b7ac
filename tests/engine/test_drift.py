"""What happened to the containers since: `preview` says it in words, `up` repairs it, once."""

from collections.abc import Callable

import pytest

from tests.engine.load import wait_until
from tests.engine.stack import Stack
from tests.engine.test_up import INSTANCES

pytestmark = pytest.mark.engine

FIRST = INSTANCES[0]
CURRENT = "/etc/ovms-numa/current"


@pytest.fixture
def repaired(stack: Stack) -> Callable[[str], set[str]]:
    """Check that a drift is shown with *words*, repaired and then gone; return what changed."""

    def check(words: str) -> set[str]:
        shown = stack.preview()
        up = stack.up()

        assert words in shown.output
        assert shown.changed()
        assert up.status == 0, up.output
        assert "drift:" not in stack.nothing_to_do().output
        return {step.name for step in up.changed()}

    return check


Repaired = Callable[[str], set[str]]


def _edit(stack: Stack, path: str, command: str) -> None:
    status, output = stack.container("balancer").exec_run(
        ["sh", "-c", f"{command} {CURRENT}/{path}"]
    )
    assert status == 0, output


def test_an_instance_that_was_stopped(stack: Stack, repaired: Repaired) -> None:
    stack.container(FIRST).stop(timeout=5)

    changed = repaired(f"drift: {FIRST} is exited, not running")

    assert changed == {f"{FIRST}-activation"}


def test_an_instance_that_was_removed(stack: Stack, repaired: Repaired) -> None:
    stack.container(FIRST).remove(force=True)

    changed = repaired(f"drift: {FIRST} is gone")

    assert changed == {FIRST, f"{FIRST}-activation"}


def test_an_instance_that_was_cut_off_its_network(stack: Stack, repaired: Repaired) -> None:
    network = stack.client.networks.get(f"{stack.prefix}-instances")
    network.disconnect(stack.container(FIRST))

    changed = repaired(f"drift: {FIRST} is cut off from the instances' network")

    assert changed == {FIRST, f"{FIRST}-activation"}


def test_an_instance_that_was_moved_to_other_cpus(stack: Stack, repaired: Repaired) -> None:
    stack.container(FIRST).update(cpuset_cpus="1")

    changed = repaired(f"drift: {FIRST} was re-pinned: CPUs: planned 0, found 1")

    assert changed == {f"{FIRST}-activation"}
    assert stack.container(FIRST).attrs["HostConfig"]["CpusetCpus"] == "0"


def test_a_member_that_was_closed_by_hand(stack: Stack, repaired: Repaired) -> None:
    path = f"members/{FIRST}.conf"
    _edit(stack, path, "sed -i 's/ max_fails=0;/ max_fails=0 down;/'")

    changed = repaired(f"drift: {FIRST} had its member file in the balancer edited by hand")

    assert changed == {f"{FIRST}-activation"}


def test_a_configuration_that_was_edited_by_hand(stack: Stack, repaired: Repaired) -> None:
    _edit(stack, "nginx.conf", "sed -i 's/least_conn/ip_hash/'")

    changed = repaired("drift: balancer had its nginx.conf edited by hand")

    text = stack.container("balancer").exec_run(["cat", f"{CURRENT}/nginx.conf"]).output.decode()
    assert changed == {"balancer-pushed"}
    assert "least_conn;" in text


def test_a_balancer_that_was_stopped(stack: Stack, repaired: Repaired) -> None:
    stack.container("balancer").stop(timeout=5)

    changed = repaired("drift: balancer is exited, not running")

    assert changed == {"balancer-pushed"}


def test_a_configuration_volume_that_was_lost(stack: Stack, repaired: Repaired) -> None:
    balancer = stack.container("balancer")
    volume = balancer.attrs["Mounts"][0]["Name"]
    balancer.remove(force=True)
    stack.client.volumes.get(volume).remove()

    changed = repaired("drift: balancer is gone")

    members = {f"{name}-activation" for name in INSTANCES}
    assert {"balancer", "balancer-configuration", "balancer-pushed", *members} == changed


def test_an_image_that_was_removed(stack: Stack, repaired: Repaired) -> None:
    image = stack.container(FIRST).attrs["Config"]["Image"]
    stack.client.images.remove(image, force=True)

    changed = repaired(f"drift: the image {image} is gone")

    assert len(changed) == 1
    assert stack.client.images.get(image)


def test_a_restart_by_docker_is_no_drift(stack: Stack) -> None:
    """Once it generates, until when the watcher has it closed."""
    container = stack.container(FIRST)
    container.restart()
    wait_until(lambda: not stack.all_open())

    wait_until(stack.all_open)
    stack.nothing_to_do()


def test_a_foreign_container_of_the_same_name_is_refused(stack: Stack) -> None:
    container = stack.container(FIRST)
    image = container.attrs["Config"]["Image"]
    container.remove(force=True)
    foreign = stack.client.containers.create(image, name=f"{stack.prefix}-{FIRST}")
    try:
        run = stack.up()
    finally:
        foreign.remove()

    assert run.status != 0
    name = f"{stack.prefix}-{FIRST}"
    assert (
        f"error: {name}: looking at the host: a container of this name is there, and this stack "
        "did not make it.\n"
        f"      What to do: remove it with `docker rm -f {name}`, or give it another name with "
        f"`docker rename {name} NAME`; then run this again.\n"
    ) in run.output.partition("Diagnostics:\n")[2]
    assert run.changed() == []
