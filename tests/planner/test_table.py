from pathlib import Path

import pytest

from planner.placement import plan
from planner.settings import Settings
from planner.table import render_table
from planner.topology import HostTopology
from tests.planner.worlds import ONE_NODE, TWO_NODES, make_host, make_settings

GOLDEN = Path(__file__).parent / "data"

WORLDS: dict[str, tuple[Settings, HostTopology]] = {
    "plan-dev.txt": (
        make_settings(placement={"instances-per-node": 2, "cores-per-instance": 1}),
        make_host(ONE_NODE),
    ),
    "plan-two-sockets.txt": (
        make_settings(
            placement={
                "instances-per-node": 2,
                "smt": "siblings",
                "reserved-cpus": "0,16",
                "exclude-nodes": [2],
            },
            balancer={"cpus": "0,16", "address": "10.0.0.5", "port": 80},
            models={"directory": "/srv/models", "names": ["qwen3-8b", "phi-4"]},
            server={"image": "openvino/model_server:2026.3"},
        ),
        make_host(
            {
                0: [f"{cpu},{cpu + 16}" for cpu in range(5)],
                1: [f"{cpu},{cpu + 16}" for cpu in range(5, 10)],
                2: [f"{cpu},{cpu + 16}" for cpu in range(10, 16)],
                8: [],
            }
        ),
    ),
    "plan-unbound.txt": (
        make_settings(placement={"cpu-binding": "none", "memory-binding": "none"}),
        make_host(ONE_NODE),
    ),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_plan_is_shown_as_the_golden_table(name: str) -> None:
    settings, host = WORLDS[name]

    table = render_table(plan(settings, {"box": host}), settings)

    assert table == (GOLDEN / name).read_text()


def test_a_plan_with_nothing_to_say_ends_with_endpoint_and_weights() -> None:
    settings = make_settings(placement={"reserved-cpus": "0,4"}, balancer={"cpus": "0"})

    table = render_table(plan(settings, {"box": make_host(TWO_NODES)}), settings)

    endpoint, weights = table.splitlines()[-2:]
    assert endpoint.startswith("endpoint: http://127.0.0.1:8000 (balancer on CPUs 0)")
    assert weights.startswith("weights: shared, one copy a host: ")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({}, "private, 2 copies: each instance has its own in memory of its NUMA node"),
        ({"weights": "private"}, "private, 2 copies: each"),
        (
            {"weights": "shared"},
            "shared, one copy a host: in the page cache, on the NUMA node that read it first",
        ),
    ],
)
def test_a_plan_says_what_holding_the_weights_costs(server: dict[str, str], words: str) -> None:
    single = {"single": {"path": "smollm2-135m-instruct"}}
    settings = make_settings(server=server, models=single)

    table = render_table(plan(settings, {"box": make_host(TWO_NODES)}), settings)

    assert f"\nweights: {words}" in table
    assert "graph.pbtxt" not in table
