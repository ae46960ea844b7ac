"""What the four policies make of nodes that do not fit, and which CPUs are kept from instances."""

from typing import Any

import pytest

from planner.errors import PlacementError, SettingsError
from planner.placement import Plan, plan
from planner.topology import HostTopology
from tests.planner.worlds import TWO_NODES, TWO_NODES_SMT, make_host, make_settings

UNEVEN = make_host({0: ["0", "1", "2", "3"], 1: ["4"], 2: ["5", "6"]}, without_memory=[2])


def plan_of(host: HostTopology, balancer: str = "", **placement: Any) -> Plan:
    keys = {key.replace("_", "-"): value for key, value in placement.items()}
    return plan(make_settings(placement=keys, balancer={"cpus": balancer}), {"box": host})


def faults_of(host: HostTopology, **placement: Any) -> tuple[str, ...]:
    with pytest.raises(PlacementError) as refused:
        plan_of(host, **placement)
    return refused.value.faults


def cpus_of(made: Plan) -> dict[str, str]:
    return {one.name: str(one.cpus) for one in made.placements}


@pytest.mark.parametrize("policy", ["none", "best-effort"])
def test_nodes_that_do_not_fit_are_left_out_with_the_reason(policy: str) -> None:
    made = plan_of(UNEVEN, policy=policy, cores_per_instance=2)

    assert [one.name for one in made.placements] == ["box-node0-0"]
    assert [(one.title, one.reason) for one in made.unplaced] == [
        ("NUMA node 1", "has 1 usable cores (4), but placement.cores-per-instance is 2"),
        ("NUMA node 2", "has no memory"),
    ]


@pytest.mark.parametrize("policy", ["restricted", "single-numa-node"])
def test_nodes_that_do_not_fit_are_refused(policy: str) -> None:
    assert faults_of(UNEVEN, policy=policy, cores_per_instance=2) == (
        "NUMA node 1 of host box has 1 usable cores (4), but placement.cores-per-instance is 2. "
        "Lower it to 1 or less, or leave the node out with placement.exclude-nodes: [1].",
        f"NUMA node 2 of host box: has no memory; placement.policy is {policy}. Change that, "
        "leave it out with placement.exclude-nodes: [2], or write policy: best-effort.",
    )


def test_excluded_nodes_need_not_fit() -> None:
    made = plan_of(UNEVEN, policy="restricted", cores_per_instance=2, exclude_nodes=[1, 2])

    assert [one.name for one in made.placements] == ["box-node0-0"]


def test_the_policy_none_binds_nothing_and_says_so() -> None:
    made = plan_of(make_host(TWO_NODES), policy="none")

    assert [(one.cpus, one.memory_nodes) for one in made.placements] == [(None, None)] * 2
    assert [one.weight for one in made.placements] == [4, 4]
    assert any(note.startswith("placement.policy is none") for note in made.notes)


def test_the_policy_none_leaves_a_cpu_set_of_the_whole_host() -> None:
    made = plan_of(make_host(TWO_NODES), policy="none", cpu_binding="host", reserved_cores=2)

    assert set(cpus_of(made).values()) == {"1-3,5-7"}


@pytest.mark.parametrize(
    ("rules", "key"),
    [
        ({"policy": "none", "cpu-binding": "node"}, "cpu-binding"),
        ({"policy": "restricted", "cpu-binding": "none"}, "cpu-binding"),
        ({"policy": "single-numa-node", "memory-binding": "none"}, "memory-binding"),
    ],
)
def test_a_policy_and_a_binding_that_contradict_each_other_are_refused(
    rules: dict[str, str], key: str
) -> None:
    with pytest.raises(SettingsError, match=f"placement.{key}: "):
        make_settings(placement=rules)


def test_a_restricted_policy_goes_with_memory_that_is_not_bound() -> None:
    """Kubelet's looks at memory only where its memory manager does."""
    made = plan_of(make_host(TWO_NODES), policy="restricted", memory_binding="none")

    assert [one.memory_nodes for one in made.placements] == [None, None]


@pytest.mark.parametrize(
    ("count", "first", "second"),
    [(1, "1-3", "4-7"), (2, "1-3", "5-7"), (3, "2-3", "5-7"), (7, None, "7")],
)
def test_a_count_of_reserved_cores_is_taken_evenly_lowest_first(
    count: int, first: str | None, second: str
) -> None:
    made = plan_of(make_host(TWO_NODES), reserved_cores=count)

    assert cpus_of(made).get("box-node0-0") == first
    assert cpus_of(made)["box-node1-0"] == second


def test_a_node_that_has_no_more_cores_leaves_the_rest_of_the_count_to_the_others() -> None:
    made = plan_of(make_host({0: ["0"], 1: ["1", "2", "3", "4"]}), reserved_cores=3)

    assert cpus_of(made) == {"box-node1-0": "3-4"}
    assert made.unplaced[0].reason.endswith("and placement.reserved-cores takes 0")


def test_reserved_cores_are_whole_and_of_nodes_that_instances_run_on() -> None:
    made = plan_of(make_host(TWO_NODES_SMT), reserved_cores=1, exclude_nodes=[0], smt="siblings")

    assert cpus_of(made) == {"box-node1-0": "3,7"}
    assert str(made.balancer_cpus) == "2,6"


def test_more_reserved_cores_than_leave_one_are_refused() -> None:
    assert faults_of(make_host(TWO_NODES), reserved_cores=8) == (
        "placement.reserved-cores: 8 of host box leaves no core for instances: 8 could be "
        "reserved (0-7). Lower it, or name CPUs with placement.reserved-cpus.",
    )


@pytest.mark.parametrize(
    ("rules", "balancer", "cpus"),
    [
        ({"reserved_cores": 2}, "", "0,4"),
        ({"reserved_cpus": "0,2-3"}, "", "0,2-3"),
        ({"reserved_cores": 2}, "0", "0"),
        ({}, "", ""),
    ],
    ids=["by count", "by list", "written", "nothing reserved"],
)
def test_the_balancer_runs_on_the_reserved_cpus_unless_others_are_written(
    rules: dict[str, Any], balancer: str, cpus: str
) -> None:
    assert str(plan_of(make_host(TWO_NODES), balancer, **rules).balancer_cpus) == cpus


def test_the_balancer_runs_only_on_reserved_cpus_that_containers_may_use() -> None:
    made = plan_of(make_host(TWO_NODES, allowed_cpus="1-7"), reserved_cpus="0,4")

    assert str(made.balancer_cpus) == "4"


def test_isolated_cpus_run_no_instance_and_are_named() -> None:
    made = plan_of(make_host(TWO_NODES, isolated="2-3,7"))

    assert cpus_of(made) == {"box-node0-0": "0-1", "box-node1-0": "4-6"}
    assert made.notes[0] == (
        "CPUs 2-3,7 of host box run no instance: its kernel isolates them, and "
        "placement.isolated-cpus is avoid"
    )


def test_a_core_of_which_one_cpu_is_isolated_runs_no_instance() -> None:
    made = plan_of(make_host(TWO_NODES_SMT, isolated="4"), smt="siblings")

    assert cpus_of(made)["box-node0-0"] == "1,5"


def test_a_node_whose_cpus_are_all_isolated_says_so() -> None:
    made = plan_of(make_host(TWO_NODES, isolated="4-7"))

    assert made.unplaced[0].reason.endswith("takes none; the kernel isolates 4-7")


def test_isolated_cpus_are_used_when_asked_and_never_reserved() -> None:
    made = plan_of(make_host(TWO_NODES, isolated="0-1"), isolated_cpus="use", reserved_cores=2)

    assert cpus_of(made) == {"box-node0-0": "0-1,3", "box-node1-0": "5-7"}
    assert made.notes[0] == (
        "box-node0-0 runs on isolated CPUs 0-1: the kernel spreads no threads over them, so all "
        "that the server does not pin itself share one of them"
    )


def test_an_instance_on_fast_and_slow_cores_is_noted() -> None:
    made = plan_of(make_host(TWO_NODES, efficient="2-3"), reserved_cores=2)

    assert made.notes[0] == (
        "box-node0-0 runs on efficiency cores (2-3) and performance cores (1) of host box: work "
        "is split evenly over threads, so the faster wait for the slower; placement.reserved-cpus "
        "keeps one kind out"
    )
    assert not any("box-node1-0 runs on" in note for note in made.notes)
