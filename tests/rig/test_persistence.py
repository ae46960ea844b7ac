"""What an instance may use is as planned, and outlives restarts of container, Docker and host."""

import time

import pytest

from tests.engine.stack import Run, Stack
from tests.rig.reached import Rig
from tests.rig.report import Report
from tests.rig.serving import Lists, Served
from tests.rig.under_load import FULL_S, full_disk, struck

pytestmark = pytest.mark.rig


@pytest.fixture
def served(rig: Rig, rig_stack: Stack) -> Served:
    return Served.of(rig, rig_stack)


@pytest.mark.parametrize("rig", ["2-nodes"], indirect=True)
def test_lists_outlive_the_restart_of_a_container(
    rig: Rig, served: Served, report: Report, rig_stack: Stack
) -> None:
    before = served.container("rig-node1-0").attrs["State"]["StartedAt"]

    def restart() -> float:
        since = time.monotonic()
        rig.run(f"docker restart {served.prefix}-rig-node1-0")
        return since

    report.add(struck(served, "docker restart of one instance", restart))
    assert served.container("rig-node1-0").attrs["State"]["StartedAt"] != before
    _assert_placed(served)
    rig_stack.nothing_to_do()


@pytest.mark.parametrize("rig", ["2-nodes"], indirect=True)
def test_lists_outlive_the_restart_of_docker(
    rig: Rig, served: Served, report: Report, rig_stack: Stack
) -> None:
    before = rig.run("pidof dockerd")

    def restart() -> float:
        since = time.monotonic()
        rig.administer("systemctl restart docker")
        return since

    report.add(struck(served, "restart of the Docker daemon", restart))
    assert rig.run("pidof dockerd") != before
    _assert_placed(served)
    rig_stack.nothing_to_do()


@pytest.mark.parametrize("rig", ["2-nodes"], indirect=True)
def test_lists_outlive_a_reboot_of_the_host(
    rig: Rig, served: Served, report: Report, rig_stack: Stack
) -> None:
    report.add(struck(served, "reboot of the host", rig.reboot))
    _assert_placed(served)
    rig_stack.nothing_to_do()


@pytest.mark.parametrize("rig", ["2-nodes"], indirect=True)
def test_a_full_disk_costs_no_request_and_leaves_nothing_to_repair(
    rig: Rig, served: Served, report: Report, rig_stack: Stack
) -> None:
    measured = struck(served, f"full disk for {FULL_S:.0f} s", lambda: full_disk(rig))

    report.add(measured)
    assert (measured.lost, measured.failed) == ((), ()), measured.in_words()
    _assert_placed(served)
    rig_stack.nothing_to_do()


@pytest.mark.parametrize("rig", ["2-nodes", "snc-4-nodes"], indirect=True)
def test_a_stack_over_ssh_runs_where_it_was_planned(
    rig: Rig, served: Served, rig_created: tuple[Stack, Run]
) -> None:
    stack, run = rig_created
    nodes = {"2-nodes": 2, "snc-4-nodes": 4}[rig.running.topology]

    assert {f"rig-node{node}-0" for node in range(nodes)} <= set(run.names("create"))
    assert [row["memory_nodes"] for row in served.rows.values()] == list(map(str, range(nodes)))
    assert served.all_answer()
    _assert_placed(served)
    stack.nothing_to_do()


@pytest.mark.parametrize("rig", ["snc-4-nodes"], indirect=True)
def test_an_instance_of_a_socket_may_use_both_of_its_nodes(rig: Rig, rig_stack: Stack) -> None:
    """
    The last test of this rig, whose stack stays so.

    The stack is made anew: instances of sockets have addresses that those of nodes would keep.
    """
    removed = rig_stack.destroy()
    rig_stack.configure({"placement": {"unit": "socket"}, "rollout": {"max-unavailable": 2}})
    run = rig_stack.up()

    assert removed.status == 0, removed.output
    assert run.status == 0, run.output
    served = Served.of(rig, rig_stack)
    assert served.planned() == {
        "rig-socket0-0": Lists(cpus="1-3", memory_nodes="0-1"),
        "rig-socket1-0": Lists(cpus="5-7", memory_nodes="2-3"),
    }
    assert served.all_answer()
    _assert_placed(served)
    rig_stack.nothing_to_do()


def _assert_placed(served: Served) -> None:
    planned = served.planned()

    assert served.configured() == planned
    assert served.enforced() == {name: {lists} for name, lists in planned.items()}
