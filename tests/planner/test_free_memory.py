"""Whether instances find their memory free on a host as it is now."""

from typing import Any

import pytest

from planner.errors import PlacementError
from planner.free_memory import Held, HostMemory, check_free_memory
from planner.placement import Plan, plan
from tests.planner.worlds import TWO_NODES, make_host, make_settings

MODELS = {
    "directory": "/srv/models",
    "names": ["m"],
    "weights-mib": 1000,
    "overhead-mib": 1000,
    "single": {"path": "m", "cache-size": 2},
}
"""4048 MiB an instance, and a limit of 4096."""


def made(models: dict[str, Any] = MODELS, **placement: Any) -> Plan:
    keys = {key.replace("_", "-"): value for key, value in placement.items()}
    return plan(make_settings(models=models, placement=keys), {"box": make_host(TWO_NODES)})


def faults_of(its: Plan, memory: HostMemory) -> tuple[str, ...]:
    with pytest.raises(PlacementError) as refused:
        check_free_memory(its, "box", memory)
    return refused.value.faults


def holding(mib: int, *, limit: int | None = 2048, node: int = 0) -> Held:
    return Held(limit_mib=limit, by_node={node: mib})


def test_new_instances_need_all_their_memory_free_on_their_node() -> None:
    check_free_memory(made(), "box", HostMemory(free_mib={0: 4048, 1: 4048}))

    assert faults_of(made(), HostMemory(free_mib={0: 9000, 1: 4047})) == (
        "NUMA node 1 of host box: 4047 MiB of memory are free now, but box-node1-0 needs 4048 MiB "
        "more: each 4048 MiB (weights 1000 + KV cache 2048 + overhead 1000). The largest KV cache "
        "that fits is 1 GB (models.single.cache-size). End what else has memory there, serve with "
        "a smaller KV cache or a smaller model, or lower placement.instances-per-node.",
    )


def test_an_instance_that_is_replaced_gives_back_what_it_holds() -> None:
    held = {"box-node0-0": holding(1500)}

    check_free_memory(made(), "box", HostMemory(free_mib={0: 2548, 1: 5000}, held=held))

    (fault,) = faults_of(made(), HostMemory(free_mib={0: 2547, 1: 5000}, held=held))
    assert "but box-node0-0 needs 2548 MiB more" in fault
    assert "1500 MiB of which are held now. The largest KV cache that fits is 1 GB" in fault


def test_what_an_instance_holds_on_another_node_does_not_help() -> None:
    held = {"box-node0-0": holding(1500, node=1)}

    assert len(faults_of(made(), HostMemory(free_mib={0: 4000, 1: 5000}, held=held))) == 1


def test_an_instance_that_is_not_planned_any_more_holds_its_memory_to_the_end() -> None:
    """Its memory is not free, and it is nobody's who grows."""
    held = {"box-node0-7": holding(4000)}

    assert len(faults_of(made(), HostMemory(free_mib={0: 100, 1: 5000}, held=held))) == 1


def test_one_that_holds_more_than_it_will_need_lends_nothing_to_its_neighbours() -> None:
    its = made(instances_per_node=2)
    held = {"box-node0-0": holding(9000)}

    check_free_memory(its, "box", HostMemory(free_mib={0: 4048, 1: 9000}, held=held))
    assert len(faults_of(its, HostMemory(free_mib={0: 4047, 1: 9000}, held=held))) == 1


def test_where_all_run_as_they_are_planned_nothing_is_refused() -> None:
    """Else a full host could not be repaired, nor its balancer changed."""
    held = {"box-node0-0": holding(10, limit=4096), "box-node1-0": holding(10, limit=4096)}

    check_free_memory(made(), "box", HostMemory(free_mib={0: 0, 1: 0}, held=held))


def test_where_one_is_new_its_neighbours_still_need_what_they_have_not_taken_yet() -> None:
    its = made(instances_per_node=2)
    held = {"box-node0-0": holding(48, limit=4096)}

    check_free_memory(its, "box", HostMemory(free_mib={0: 8048, 1: 9000}, held=held))
    assert len(faults_of(its, HostMemory(free_mib={0: 8047, 1: 9000}, held=held))) == 1


def test_nothing_is_refused_where_it_cannot_be_told() -> None:
    unread = HostMemory(free_mib={0: 0, 1: 9000}, unread=frozenset({"box-node0-0"}))
    unknown = {"directory": "/srv/models", "names": ["m"]}

    check_free_memory(made(), "box", unread)
    check_free_memory(made(), "box", HostMemory())
    check_free_memory(made(), "other", HostMemory(free_mib={0: 0, 1: 0}))
    check_free_memory(made(unknown), "box", HostMemory(free_mib={0: 0, 1: 0}))


def test_instances_without_a_memory_binding_have_the_whole_host() -> None:
    its = made(memory_binding="none")

    check_free_memory(its, "box", HostMemory(free_mib={0: 96, 1: 8000}))
    (fault,) = faults_of(its, HostMemory(free_mib={0: 95, 1: 8000}))

    assert fault.startswith(
        "NUMA nodes 0-1 of host box: 8095 MiB of memory are free now, but box-node0-0, "
        "box-node1-0 need 8096 MiB more"
    )
