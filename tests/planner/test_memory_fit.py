"""What an instance needs of its node's memory, whether that is there, and its container's limit."""

from typing import Any

import pytest

from planner.demand import Demand, ModelFiles, demand_of
from planner.errors import PlacementError
from planner.placement import Plan, plan
from planner.topology import HostTopology
from tests.planner.worlds import ONE_NODE, TWO_NODES, make_host, make_settings

OWN: dict[str, Any] = {"directory": "/srv/models", "names": ["llama-3-8b"]}
"""Each node of the hosts here has 16 GiB, of which 1 GiB is kept."""
SINGLE: dict[str, Any] = {"path": "llama-3-8b", "cache-size": 4}
FILES = ModelFiles(weights_mib=5000, cache_gb=2)


def demand(models: dict[str, Any], files: ModelFiles | None = None) -> Demand:
    return demand_of(make_settings(models=models), files)


def plan_of(
    models: dict[str, Any],
    host: HostTopology | None = None,
    files: ModelFiles | None = None,
    **placement: Any,
) -> Plan:
    keys = {key.replace("_", "-"): value for key, value in placement.items()}
    settings = make_settings(models=models, placement=keys)
    return plan(settings, {"box": host or make_host(TWO_NODES)}, files)


def faults_of(models: dict[str, Any], **placement: Any) -> tuple[str, ...]:
    with pytest.raises(PlacementError) as refused:
        plan_of(models, **placement)
    return refused.value.faults


def test_the_sum_is_of_weights_cache_and_overhead() -> None:
    its = demand({**OWN, "weights-mib": 5000, "overhead-mib": 1000, "single": SINGLE})

    assert its.words == "10096 MiB (weights 5000 + KV cache 4096 + overhead 1000)"
    assert its.least == 10096


@pytest.mark.parametrize(("weights", "overhead"), [(100, 562), (5000, 3012), (40000, 4096)])
def test_the_overhead_grows_with_the_weights_to_its_most(weights: int, overhead: int) -> None:
    assert demand({**OWN, "weights-mib": weights, "single": SINGLE}).overhead == overhead


def test_the_prepared_model_is_known_by_itself() -> None:
    assert demand({}).words == "1680 MiB (weights 96 + KV cache 1024 + overhead 560)"


@pytest.mark.parametrize(
    ("models", "limit"),
    [
        ({}, 1792),
        ({**OWN, "memory-mib": 8000}, 8192),
        ({**OWN, "memory-mib": 8192}, 8192),
        ({**OWN, "weights-mib": 5000, "single": SINGLE}, 12288),
        ({**OWN, "weights-mib": 5000, "cache-size": 4}, 12288),
        ({**OWN, "weights-mib": 5000, "cache-size": 0}, None),
        ({**OWN, "weights-mib": 5000}, None),
        ({**OWN, "single": SINGLE}, None),
        (OWN, None),
    ],
)
def test_a_container_is_limited_where_the_settings_say_all(
    models: dict[str, Any], limit: int | None
) -> None:
    """In whole steps, whatever files an operator has on his machine."""
    made = plan_of(models, files=FILES)

    assert {one.memory_mib for one in made.placements} == {limit}


def test_what_files_say_is_checked_and_limits_nothing() -> None:
    its = demand(OWN, FILES)

    assert its.words == "10060 MiB (files of the weights 5000 + KV cache 2048 + overhead 3012)"
    assert its.limit is None


def test_settings_win_over_files() -> None:
    its = demand({**OWN, "weights-mib": 9000, "cache-size": 1}, FILES)

    assert (its.weights, its.cache, its.unknown_keys) == (9000, 1024, ())


def memory_notes(models: dict[str, Any], files: ModelFiles | None = None) -> list[str]:
    notes = plan_of(models, files=files).notes
    return [note for note in notes if "limit" in note]


def test_memory_that_is_not_known_is_neither_checked_nor_limited_and_the_plan_says_so() -> None:
    assert memory_notes(OWN) == [
        "what an instance needs of its NUMA node's memory is not known, so it is not checked, and "
        "containers have no limit: models.weights-mib says it"
    ]


@pytest.mark.parametrize(
    ("models", "files", "unknown"),
    [
        (
            {**OWN, "weights-mib": 5000, "single": {"path": "llama-3-8b"}},
            None,
            "how far the KV cache grows (models.single.cache-size)",
        ),
        (
            OWN,
            FILES,
            "how much the weights of 5000 MiB become once loaded and the KV cache but from files "
            "of this machine (models.weights-mib and models.cache-size)",
        ),
    ],
)
def test_the_plan_says_what_keeps_containers_from_having_a_limit(
    models: dict[str, Any], files: ModelFiles | None, unknown: str
) -> None:
    (note,) = memory_notes(models, files)

    assert note.endswith(f"not known is {unknown}")


@pytest.mark.parametrize(("each", "fits"), [(7680, True), (7681, False)])
def test_several_instances_of_a_node_add_up(each: int, fits: bool) -> None:
    """Two of them have 15 GiB."""
    models = {**OWN, "memory-mib": each}
    if fits:
        assert len(plan_of(models, instances_per_node=2).placements) == 4
        return

    faults = faults_of(models, instances_per_node=2)

    assert faults[1] == (
        "NUMA node 1 of host box has 16384 MiB of memory, of which placement.reserved-memory-mib "
        "keeps 1024, but 2 instances need 15362 MiB, each 7681 MiB (models.memory-mib). Serve a "
        "smaller model or with a smaller cache, lower placement.instances-per-node to 1 or less, "
        "or leave the node out with placement.exclude-nodes: [1]."
    )


def test_weights_that_alone_are_too_large_fit_no_better_with_fewer_instances() -> None:
    models = {**OWN, "overhead-mib": 0}
    files = ModelFiles(weights_mib=20000, cache_gb=None)

    with pytest.raises(PlacementError) as refused:
        plan_of(models, files=files, instances_per_node=2)

    assert refused.value.faults[0].endswith(
        "but 2 instances need 20000 MiB, each 20000 MiB (files of the weights 20000 + overhead 0), "
        "the weights mapped once. Not even a KV cache of 1 GB fits. Serve a smaller model or with "
        "a smaller cache, or leave the node out with placement.exclude-nodes: [0]."
    )


def test_the_largest_cache_that_fits_is_told() -> None:
    single = {**SINGLE, "cache-size": 10}

    faults = faults_of({**OWN, "weights-mib": 5000, "single": single})

    assert "The largest KV cache that fits is 7 GB (models.single.cache-size). " in faults[0]
    plan_of({**OWN, "weights-mib": 5000, "single": {**SINGLE, "cache-size": 7}})


def test_a_node_with_too_little_memory_is_left_out_beside_one_that_fits() -> None:
    host = make_host(TWO_NODES)
    data = host.to_json()
    data["nodes"][1]["memory_bytes"] = 8 << 30

    made = plan_of({**OWN, "memory-mib": 9000}, HostTopology.from_json(data))

    assert [one.name for one in made.placements] == ["box-node0-0"]
    assert made.unplaced[0].reason == (
        "has 8192 MiB of memory, of which placement.reserved-memory-mib keeps 1024, but an "
        "instance needs 9000 MiB (models.memory-mib)"
    )


def test_nothing_need_be_kept_for_the_operating_system() -> None:
    plan_of({**OWN, "memory-mib": 16384}, reserved_memory_mib=0)
    faults = faults_of({**OWN, "memory-mib": 16385}, reserved_memory_mib=0)

    assert "has 16384 MiB of memory, but an instance needs 16385 MiB" in faults[0]


def test_a_socket_has_the_memory_of_its_nodes_and_keeps_some_of_each() -> None:
    host = make_host(TWO_NODES, sockets=[[0, 1]])

    plan_of({**OWN, "memory-mib": 30720}, host, unit="socket")
    with pytest.raises(PlacementError, match=r"has 32768 MiB of memory, of which .* keeps 2048"):
        plan_of({**OWN, "memory-mib": 30721}, host, unit="socket")


@pytest.mark.parametrize("rules", [{"memory_binding": "none"}, {"policy": "none"}])
def test_memory_that_is_not_bound_is_checked_against_the_whole_host(rules: dict[str, Any]) -> None:
    plan_of({**OWN, "memory-mib": 15360}, **rules)

    (fault,) = faults_of({**OWN, "memory-mib": 15361}, **rules)

    assert fault.startswith(
        "Host box has 32768 MiB of memory, of which placement.reserved-memory-mib keeps 2048, but "
        "2 instances need 30722 MiB"
    )


FAR = {"docker": "ssh://ops@b", "topology": "hosts/b.json", "address": "10.0.0.2"}


def test_a_host_without_an_instance_needs_no_memory() -> None:
    settings = make_settings(
        hosts={"a": {}, "b": FAR},
        placement={"memory-binding": "none"},
        balancer={"host": "a"},
    )

    made = plan(settings, {"a": make_host(ONE_NODE), "b": make_host({0: []})})

    assert [one.host for one in made.placements] == ["a"]
