import json

from planner.document import plan_document, unplaced_document
from planner.placement import plan
from tests.planner.worlds import ONE_NODE, TWO_NODES_SMT, make_host, make_settings


def test_a_plan_as_data_is_the_plan() -> None:
    settings = make_settings(placement={"smt": "siblings"})

    document = plan_document(plan(settings, {"box": make_host(TWO_NODES_SMT)}))

    assert json.loads(json.dumps(document))[1] == {
        "instance": "box-node1-0",
        "host": "box",
        "unit": "node",
        "numa_nodes": "1",
        "cpus": "2-3,6-7",
        "memory_nodes": "1",
        "memory_limit_mib": 1792,
        "threads": 4,
        "address": "172.30.80.17",
        "port": 8001,
        "weight": 2,
    }


def test_what_is_not_bound_is_any() -> None:
    settings = make_settings(placement={"cpu-binding": "none", "memory-binding": "none"})

    (instance,) = plan_document(plan(settings, {"box": make_host(ONE_NODE)}))

    assert (instance["cpus"], instance["memory_nodes"]) == ("any", "any")


def test_what_gets_no_instance_is_there_with_the_reason() -> None:
    made = plan(make_settings(), {"box": make_host(TWO_NODES_SMT, without_memory=[1])})

    assert unplaced_document(made) == [
        {"host": "box", "unit": "NUMA node 1", "reason": "has no memory"}
    ]
