from typing import Any

import pytest

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.placement import Placement, Plan, plan
from planner.topology import HostTopology
from tests.planner.worlds import ONE_NODE, TWO_NODES, TWO_NODES_SMT, make_host, make_settings


def plan_of(host: HostTopology, **placement: Any) -> Plan:
    keys = {key.replace("_", "-"): value for key, value in placement.items()}
    return plan(make_settings(placement=keys), {"box": host})


def faults_of(host: HostTopology, sections: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(PlacementError) as refused:
        plan(make_settings(**sections), {"box": host})
    return refused.value.faults


def cpus_of(made: Plan) -> dict[str, str]:
    return {one.name: str(one.cpus) for one in made.placements}


def test_each_numa_node_gets_one_instance_on_all_its_cores() -> None:
    made = plan_of(make_host(TWO_NODES))

    assert made.placements[1] == Placement(
        host="box",
        unit="node",
        number=1,
        nodes=CpuSet.of([1]),
        ordinal=0,
        cpus=made.placements[1].cpus,
        memory_nodes=made.placements[1].memory_nodes,
        memory_bytes=1792 << 20,
        threads=4,
        port=8001,
        address="172.30.80.17",
        published=None,
        weight=4,
    )
    assert cpus_of(made) == {"box-node0-0": "0-3", "box-node1-0": "4-7"}
    assert [str(one.memory_nodes) for one in made.placements] == ["0", "1"]
    assert made.unplaced == ()


def test_an_instance_gets_its_cores_in_order_of_their_lowest_cpu() -> None:
    made = plan_of(make_host(TWO_NODES), instances_per_node=2)

    assert cpus_of(made) == {
        "box-node0-0": "0-1",
        "box-node0-1": "2-3",
        "box-node1-0": "4-5",
        "box-node1-1": "6-7",
    }


@pytest.mark.parametrize(
    ("smt", "cpus", "threads"), [("one-per-core", "0-1", 2), ("siblings", "0-1,4-5", 4)]
)
def test_smt_says_how_many_cpus_of_a_core_are_used(smt: str, cpus: str, threads: int) -> None:
    first = plan_of(make_host(TWO_NODES_SMT), smt=smt).placements[0]

    assert (str(first.cpus), first.threads, first.weight) == (cpus, threads, 2)


def test_ports_and_addresses_are_of_node_and_ordinal_whatever_other_nodes_there_are() -> None:
    made = plan_of(make_host({0: ["0", "1"], 4: ["2", "3"]}), instances_per_node=2)

    assert {one.name: (one.port, one.address) for one in made.placements} == {
        "box-node0-0": (8000, "172.30.80.16"),
        "box-node0-1": (8002, "172.30.80.18"),
        "box-node4-0": (8010, "172.30.80.26"),
        "box-node4-1": (8016, "172.30.80.32"),
    }


def test_reserved_cores_run_no_instance() -> None:
    made = plan_of(make_host(TWO_NODES), reserved_cpus="0,4-5")

    assert cpus_of(made) == {"box-node0-0": "1-3", "box-node1-0": "6-7"}


def test_a_core_of_which_only_some_cpus_are_allowed_runs_no_instance() -> None:
    made = plan_of(make_host(TWO_NODES_SMT, allowed_cpus="0-3,5-7"), smt="siblings")

    assert cpus_of(made) == {"box-node0-0": "1,5", "box-node1-0": "2-3,6-7"}


def test_a_node_without_an_instance_says_why() -> None:
    nodes = {0: ["0"], 1: ["1"], 2: [], 3: ["2"], 4: ["3"], 5: ["4"], 6: ["5"]}
    host = make_host(
        nodes, without_memory=[1], allowed_cpus="0-3,5", allowed_memory_nodes="0,2,4-6"
    )

    made = plan_of(host, exclude_nodes=[4], reserved_cpus="5")

    assert cpus_of(made) == {"box-node0-0": "0"}
    assert [(one.title, one.reason) for one in made.unplaced] == [
        ("NUMA node 1", "has no memory"),
        ("NUMA node 2", "has no CPUs"),
        (
            "NUMA node 3",
            "its memory is not allowed to containers (the Docker daemon allows memory nodes "
            "0,2,4-6)",
        ),
        ("NUMA node 4", "left out by placement.exclude-nodes"),
        (
            "NUMA node 5",
            "has no usable core: of its CPUs 4 the Docker daemon allows none, and "
            "placement.reserved-cpus takes none",
        ),
        (
            "NUMA node 6",
            "has no usable core: of its CPUs 5 the Docker daemon allows 5, and "
            "placement.reserved-cpus takes 5",
        ),
    ]


def test_the_cpu_binding_can_be_widened_to_measure_against() -> None:
    host = make_host(TWO_NODES_SMT)

    wide = plan_of(host, cpu_binding="host", reserved_cpus="0,4", smt="siblings")
    free = plan_of(host, cpu_binding="none", memory_binding="none")

    assert cpus_of(wide) == {"box-node0-0": "1-3,5-7", "box-node1-0": "1-3,5-7"}
    assert [(one.threads, one.weight) for one in wide.placements] == [(2, 1), (4, 2)]
    assert [(one.cpus, one.memory_nodes) for one in free.placements] == [(None, None)] * 2


def test_a_host_wide_cpu_binding_leaves_excluded_nodes_alone() -> None:
    made = plan_of(make_host(TWO_NODES), cpu_binding="host", exclude_nodes=[1])

    assert cpus_of(made) == {"box-node0-0": "0-3"}


def test_shared_cores_are_gone_through_again_from_the_first() -> None:
    made = plan_of(
        make_host({0: ["0", "1", "2"]}),
        instances_per_node=3,
        cores_per_instance=2,
        cpu_sharing="allowed",
    )

    assert cpus_of(made) == {
        "box-node0-0": "0-1",
        "box-node0-1": "0,2",
        "box-node0-2": "1-2",
    }


def test_more_instances_than_cores_share_them_one_each() -> None:
    made = plan_of(make_host(ONE_NODE), instances_per_node=3, cpu_sharing="allowed")

    assert cpus_of(made) == {"box-node0-0": "0", "box-node0-1": "1", "box-node0-2": "0"}


def test_instances_that_do_not_fit_are_refused_for_all_nodes_at_once() -> None:
    host = make_host({0: ["0", "1", "2"], 1: ["3"]})

    assert faults_of(host, {"placement": {"instances-per-node": 2, "cores-per-instance": 2}}) == (
        "NUMA node 0 of host box has 3 usable cores (0-2), but placement.instances-per-node is 2 "
        "and each instance needs 2 of its own: 4. Lower placement.instances-per-node to 1 or "
        "less, set placement.cpu-sharing: allowed, or leave the node out with "
        "placement.exclude-nodes: [0].",
        "NUMA node 1 of host box has 1 usable cores (3), but placement.cores-per-instance is 2. "
        "Lower it to 1 or less, or leave the node out with placement.exclude-nodes: [1].",
    )


def test_sharing_does_not_make_an_instance_larger_than_its_node() -> None:
    rules = {"cores-per-instance": 3, "cpu-sharing": "allowed"}

    (fault,) = faults_of(make_host(ONE_NODE), {"placement": rules})

    assert "has 2 usable cores (0-1), but placement.cores-per-instance is 3" in fault


def test_what_the_host_does_not_have_cannot_be_named() -> None:
    host = make_host(TWO_NODES_SMT, allowed_cpus="0-3,5-7")
    sections = {
        "placement": {"exclude-nodes": [0, 7], "reserved-cpus": "0-1,5,9"},
        "balancer": {"cpus": "3-4"},
    }

    assert faults_of(host, sections) == (
        "placement.exclude-nodes: host box has no NUMA node 7; it has 0-1. Write ids of these.",
        "placement.reserved-cpus: CPUs 9 are not online on host box; 0-7 are. Write CPUs of these.",
        "placement.reserved-cpus: 0-1,5,9 leaves CPUs 4 of the same cores of host box over, and "
        "instances get whole cores. Write 0-1,4-5.",
        "balancer.cpus: CPUs 4 are not among those that containers may use on host box "
        "(0-3,5-7). Write CPUs of these.",
    )


def test_a_plan_without_any_instance_is_refused() -> None:
    (fault,) = faults_of(make_host(TWO_NODES), {"placement": {"exclude-nodes": [0, 1]}})

    assert fault == (
        "No NUMA node can take an instance: NUMA node 0 of host box: left out by "
        "placement.exclude-nodes; NUMA node 1 of host box: left out by placement.exclude-nodes. "
        "Change placement.exclude-nodes, reserved-cpus, reserved-cores or isolated-cpus, or what "
        "the Docker daemon is allowed."
    )


def test_ports_end_at_65535() -> None:
    sections = {"server": {"rest-port": 65535}}

    assert faults_of(make_host(TWO_NODES), sections) == (
        "server.rest-port: from 65535 on, the last instance of NUMA node 1 of host box would get "
        "port 65536, above 65535. Write 65534 or less.",
    )


@pytest.mark.parametrize(("instances", "fits"), [(5, True), (6, False)])
def test_addresses_end_with_the_subnet(instances: int, fits: bool) -> None:
    sections = {
        "hosts": {"box": {"subnet": "10.0.0.0/27"}},
        "placement": {"instances-per-node": instances, "cpu-sharing": "allowed"},
    }
    if fits:
        made = plan(make_settings(**sections), {"box": make_host(ONE_NODE)})
        assert made.placements[-1].address == "10.0.0.30"  # the last one
        return

    assert faults_of(make_host(ONE_NODE), sections) == (
        "hosts.box.subnet: 10.0.0.0/27 has 15 addresses for instances, from its 17th on, but the "
        "last instance of NUMA node 0 would get number 21. Write a larger network, or lower "
        "placement.instances-per-node.",
    )


def test_a_host_whose_topology_is_not_known_cannot_be_planned_for() -> None:
    with pytest.raises(PlacementError, match="host box: its topology is not known"):
        plan(make_settings(), {"other": make_host(ONE_NODE)})
