"""Where an instance's memory lies, as its activation requires it and `make status` shows it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.activate import activate
from lifecycle.errors import LifecycleError
from lifecycle.observe import Observation
from lifecycle.status import Status, look
from tests.lifecycle.stack_double import FIRST, Stack, stand_up_stack
from tests.lifecycle.world import LOCAL, MODEL, NAME, World, write_numa_maps

# 6 MiB on node 0 and 4 on node 1.
STRAYED = (
    LOCAL
    + """\
7ff4c22d0000 default anon=1536 dirty=1536 active=0 N0=512 N1=1024 kernelpagesize_kB=4
"""
)
ELSEWHERE = """\
5590fffb7000 default heap anon=1024 dirty=1024 active=0 N0=1024 kernelpagesize_kB=4
7ff4c22d0000 default anon=1537 dirty=1537 active=0 N1=1537 kernelpagesize_kB=4
"""


def run(world: World, **changes: object) -> dict[str, object]:
    return activate(world.spec(**changes), world.said.append)


@pytest.fixture
def stack(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    standing = stand_up_stack(world, tmp_path, monkeypatch)
    monkeypatch.setattr("lifecycle.observe_hosts.observe", lambda *_: Observation())
    world.server.answers[f"GET /v2/models/{MODEL}/ready"] = [(200, "")]
    return standing


def row(status: Status, name: str) -> list[str]:
    lines = status.render().splitlines()
    return next(re.split(r"\s{2,}", line) for line in lines if line.startswith(name))


def test_an_instance_whose_memory_lies_elsewhere_is_told_with_the_memory_of_each_node(
    world: World, golden: Callable[[str], str]
) -> None:
    world.numa_maps = STRAYED

    with pytest.raises(LifecycleError) as refused:
        run(world)

    assert str(refused.value) == golden("memory_elsewhere")
    assert (world.instance.status, world.member()) == ("exited", None)


@pytest.mark.parametrize("least", [0.6, 0.5, 0])
def test_as_much_local_memory_as_is_required_is_enough(world: World, least: float) -> None:
    world.numa_maps = STRAYED

    result = run(world, min_local_share=least)

    assert result["local_share"] == 0.6
    assert world.said[-2:] == ["proven: 2 tasks on CPUs 0, memory 0, 60% of 10 MiB local", "open"]


def test_memory_that_is_not_bound_is_measured_against_its_own_node_and_not_required(
    world: World,
) -> None:
    world.numa_maps, world.enforced = STRAYED, ("0", "0-1")

    result = run(world, memory_nodes=None)

    assert (result["memory_nodes"], result["local_share"]) == ("0-1", 0.6)


def test_where_the_kernel_does_not_tell_pages_the_proof_says_so(world: World) -> None:
    world.numa_maps = None

    result = run(world)

    assert result == {
        "instance": NAME, "cpus": "0", "memory_nodes": "0", "local_share": "not measured"
    }  # fmt: skip
    assert world.said[-2].endswith(
        "memory 0, its pages not measured: this kernel does not tell them (numa_maps)"
    )


def test_why_an_instance_starts_over_is_told(world: World) -> None:
    world.serve_as_planned()
    write_numa_maps(world.proc, STRAYED)

    run(world)

    assert world.said[0] == (
        "is not placed as planned: local share of its memory: planned at least 0.99 on node 0, "
        "found 0.6: 6 MiB on node 0 and 4 MiB on node 1"
    )
    assert "proven: 2 tasks on CPUs 0, memory 0, 100% of 4 MiB local" in world.said


def test_memory_that_lies_elsewhere_is_shown_and_wrong(stack: Stack) -> None:
    write_numa_maps(stack.machines[FIRST].mounts["/proc"], ELSEWHERE)

    status = look(stack.file)

    assert row(status, FIRST)[6] == "39.9%"
    assert (
        f"\nwrong: {FIRST} has memory elsewhere: local share of its memory: planned at least 0.99 "
        "on node 0, found 0.399: 4 MiB on node 0 and 6 MiB on node 1\n" in status.render()
    )
    assert not status.is_well


def test_memory_that_need_not_be_local_is_shown_and_not_wrong(stack: Stack) -> None:
    write_numa_maps(stack.machines[FIRST].mounts["/proc"], ELSEWHERE)
    stack.machines[FIRST].labels["ovms-numa.memory-nodes"] = "any"

    status = look(stack.file)

    assert row(status, FIRST)[4:7] == ["any", "0", "39.9%"]
    assert status.is_well


def test_where_the_kernel_does_not_tell_pages_the_column_is_empty(stack: Stack) -> None:
    write_numa_maps(stack.machines[FIRST].mounts["/proc"], None)

    status = look(stack.file)

    assert row(status, FIRST)[6] == "-"
    assert status.is_well
