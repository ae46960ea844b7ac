"""Where the memory of instances lies on two NUMA nodes: measured, exported, repaired."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lifecycle import proof
from lifecycle.pages import Pages
from lifecycle.proof import Proof
from planner.cpuset import CpuSet
from tests.engine.stack import Stack, Step
from tests.rig.reached import Rig
from tests.rig.serving import Served, seconds_until

pytestmark = [pytest.mark.rig, pytest.mark.parametrize("rig", ["2-nodes"], indirect=True)]

FIRST, SECOND = "rig-node0-0", "rig-node1-0"
LEAST = 0.99

AT_ONCE = {"max-unavailable": 2}
"""Both instances, which is quicker; the setting itself touches no resource."""

MIDDLE: dict[str, dict[str, Any]] = {
    "models": {
        "directory": "/srv/models/middle",
        "names": ["middle"],
        # About what 135 MB of its file become.
        "weights-mib": 600,
        # As its graph.pbtxt has it, and with it what a node of 3 GiB has free.
        "cache-size": 1,
        "overhead-mib": 256,
    },
    "rollout": {**AT_ONCE, "start-timeout-s": 600},
}


@pytest.fixture
def served(rig: Rig, rig_stack: Stack) -> Served:
    return Served.of(rig, rig_stack)


@pytest.fixture
def middle(rig: Rig, rig_stack: Stack) -> Iterator[Served]:
    """The stack while it serves a model whose weights are most of what a server has."""
    rig_stack.configure(MIDDLE)
    try:
        run = rig_stack.up()
        assert run.status == 0, run.output
        yield replace(Served.of(rig, rig_stack), model="middle")
    finally:
        rig_stack.configure({"rollout": AT_ONCE})
        run = rig_stack.up()
        rig_stack.configure({})
        assert run.status == 0, run.output


def prove(served: Served, instance: str) -> Proof:
    return proof.read(served.container(instance), served.rows[instance]["port"])


def pages_of(served: Served, instance: str) -> Pages:
    pages = prove(served, instance).pages
    assert pages is not None, "the rig's kernel tells pages by node"
    return pages


def assert_local(served: Served, stack: Stack, *, at_least_mib: int = 20) -> None:
    """
    Lists and pages of both instances are the plan's, and what is exported says so.

    Each has more than *at_least_mib* of anonymous memory on its own node.
    """
    exported = stack.outputs()["placements"]
    for name, planned in served.planned().items():
        found = prove(served, name)
        assert found.faults(planned.cpus, planned.memory_nodes) == ()
        assert found.memory_faults(planned.memory_nodes, LEAST) == ()
        assert exported[name]["local_share"] >= LEAST
        on = exported[name]["memory_mib"]["anonymous"]
        assert on[planned.memory_nodes] >= LEAST * sum(on.values()) > at_least_mib
        assert sum(exported[name]["memory_mib"]["libraries"].values()) > 20


def update(rig: Rig, served: Served, flags: str) -> None:
    rig.run(f"docker update {flags} {served.prefix}-{SECOND}")


def assert_seen_and_repaired(stack: Stack, served: Served, fault: str) -> None:
    preview = stack.preview()
    assert f"drift: {SECOND} was re-pinned: {fault}" in preview.output
    assert preview.changed() == [Step("update", f"{SECOND}-activation")]

    up = stack.up()

    assert up.status == 0, up.output
    assert up.changed() == [Step("update", f"{SECOND}-activation")]
    assert_local(served, stack)
    stack.nothing_to_do()


def test_the_memory_of_each_instance_lies_on_its_own_node(middle: Served, rig_stack: Stack) -> None:
    """Also the weights, which both read from one file."""
    assert list(middle.rows) == [FIRST, SECOND]
    assert [row["memory_nodes"] for row in middle.rows.values()] == ["0", "1"]
    assert middle.all_answer()
    assert_local(middle, rig_stack, at_least_mib=400)


def test_memory_that_is_bound_to_the_wrong_node_by_hand_is_seen_and_repaired(
    rig: Rig, served: Served, rig_stack: Stack
) -> None:
    """The kernel takes the pages along; the proof sees both."""
    update(rig, served, "--cpuset-mems 0")

    found = prove(served, SECOND)

    assert found.faults(None, "1") == ("memory nodes: planned 1, found 0",)
    (strayed,) = found.memory_faults("1", LEAST)
    assert strayed.startswith("local share of its memory: planned at least 0.99 on node 1, found 0")
    assert_seen_and_repaired(rig_stack, served, "memory nodes: planned 1, found 0")


def test_pages_that_stayed_behind_when_cpus_were_moved_are_local_again(
    rig: Rig, served: Served, rig_stack: Stack
) -> None:
    """Loaded on another node's CPUs and then moved back: the CPUs come, the pages stay."""
    planned = served.planned()
    update(rig, served, f"--cpuset-cpus {planned[FIRST].cpus} --cpuset-mems 0-1")
    rig.run(f"docker restart {served.prefix}-{SECOND}")
    seconds_until(lambda: served.instance_answers(SECOND), since=time.monotonic())
    update(rig, served, f"--cpuset-cpus {planned[SECOND].cpus}")

    found = prove(served, SECOND)

    assert found.faults(planned[SECOND].cpus, None) == ()
    assert pages_of(served, SECOND).local_share(CpuSet.parse("1")) < 0.5
    assert_seen_and_repaired(rig_stack, served, "memory nodes: planned 1, found 0-1")
