from dataclasses import replace

from planner.cpuset import CpuSet
from planner.placement import plan
from planner.placement.stale import stale
from tests.planner.worlds import TWO_NODES, make_host, make_settings

HOST = make_host(TWO_NODES)
PLACEMENTS = plan(make_settings(), {"box": HOST}).placements


def test_a_host_that_is_as_it_was_planned_for_takes_nothing_away() -> None:
    assert stale(PLACEMENTS, HOST) == ()


def test_cpus_that_cannot_be_had_are_named_with_their_instance() -> None:
    assert stale(PLACEMENTS, make_host(TWO_NODES, allowed_cpus="0-5")) == (
        "box-node1-0 is planned on the CPUs 4-7, of which 6-7 cannot be had",
    )


def test_memory_that_cannot_be_had_is_named_with_its_instance() -> None:
    assert stale(PLACEMENTS, make_host(TWO_NODES, without_memory=[1])) == (
        "box-node1-0 is planned on the memory of NUMA node 1, which cannot be had",
    )


def test_cpus_that_are_of_other_nodes_now_are_named() -> None:
    clusters = make_host({0: ["0", "1"], 1: ["2", "3"], 2: ["4", "5"], 3: ["6", "7"]})

    assert stale(PLACEMENTS, clusters) == (
        "box-node0-0 is planned on the CPUs and the memory of NUMA node 0, but its CPUs 0-3 are "
        "of NUMA nodes 0-1",
        "box-node1-0 is planned on the CPUs and the memory of NUMA node 1, but its CPUs 4-7 are "
        "of NUMA nodes 2-3",
    )


def test_an_instance_without_lists_loses_nothing() -> None:
    floats = tuple(replace(one, cpus=None, memory_nodes=None) for one in PLACEMENTS)

    assert stale(floats, make_host({0: ["0"]})) == ()


def test_an_instance_over_the_whole_host_loses_only_what_cannot_be_had() -> None:
    wide = [replace(one, cpus=HOST.online, memory_nodes=None) for one in PLACEMENTS[:1]]

    assert stale(wide, make_host(TWO_NODES)) == ()
    assert len(stale(wide, make_host({0: TWO_NODES[0]}))) == 1
    assert stale([replace(wide[0], memory_nodes=CpuSet.of([0, 1]))], HOST) == ()
