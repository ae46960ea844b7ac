from typing import Any

import pytest

from planner.placement import plan
from tests.planner.worlds import ONE_NODE, TWO_NODES, TWO_NODES_SMT, Nodes, make_host, make_settings

QUIET: dict[str, Any] = {
    "placement": {"reserved-cpus": "0,4"},
    "balancer": {"cpus": "0"},
}


def notes_of(nodes: Nodes, allowed_cpus: str | None = None, **sections: Any) -> tuple[str, ...]:
    host = make_host(nodes, allowed_cpus=allowed_cpus)
    return plan(make_settings(**sections), {"box": host}).notes


def quiet_with(section: str, /, **values: Any) -> dict[str, Any]:
    keys = {key.replace("_", "-"): value for key, value in values.items()}
    return {**QUIET, section: {**QUIET.get(section, {}), **keys}}


def test_a_plan_that_keeps_everything_apart_has_no_notes() -> None:
    assert notes_of(TWO_NODES, **QUIET) == ()


def test_a_floating_balancer_is_noted_with_the_cpus_it_shares() -> None:
    assert notes_of({0: ["0", "1"], 1: ["2"]})[1] == (
        "the balancer floats (balancer.cpus is empty): it shares CPUs 0-2 with the instances"
    )


def test_a_balancer_on_an_instance_s_cpus_is_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("balancer", cpus="0-1,7")) == (
        "the balancer shares CPUs 1,7 with box-node0-0, box-node1-0; "
        "placement.reserved-cpus keeps cores free for it",
    )


def test_shared_cpus_are_noted_with_the_instances_on_them() -> None:
    rules = quiet_with(
        "placement", instances_per_node=2, cores_per_instance=2, cpu_sharing="allowed"
    )

    assert notes_of(TWO_NODES, **rules) == (
        "CPUs 1 are shared by box-node0-0, box-node0-1 (placement.cpu-sharing is allowed)",
        "CPUs 5 are shared by box-node1-0, box-node1-1 (placement.cpu-sharing is allowed)",
    )


def test_a_host_full_of_instances_is_noted() -> None:
    notes = notes_of(TWO_NODES_SMT)

    assert (
        "every core of host box runs an instance, and the operating system shares them; "
        "placement.reserved-cpus keeps cores free" in notes
    )


def test_cores_that_an_even_division_leaves_are_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("placement", instances_per_node=2)) == (
        "CPUs 3 of NUMA node 0 of host box run no instance: 3 cores do not divide evenly by 2",
        "CPUs 7 of NUMA node 1 of host box run no instance: 3 cores do not divide evenly by 2",
    )


def test_cores_left_on_purpose_are_not_noted() -> None:
    rules = quiet_with("placement", instances_per_node=2, cores_per_instance=1)

    assert notes_of(TWO_NODES, **rules) == ()


def test_cores_of_a_node_that_is_left_out_are_not_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("placement", exclude_nodes=[1])) == (
        "rollout.max-unavailable is 1 of 1: an update leaves no instance serving",
    )


def test_a_core_that_is_only_partly_allowed_is_noted() -> None:
    notes = notes_of(TWO_NODES_SMT, allowed_cpus="0-3,5-7")

    assert notes[0] == "core 0,4 of host box is left out: containers may use only 0 of it"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("cpu_binding", "host", "each instance runs on every usable CPU of its host"),
        ("cpu_binding", "none", "each instance runs on any CPU"),
        ("memory_binding", "none", "an instance may take memory from any NUMA node"),
    ],
)
def test_a_binding_that_is_there_to_measure_against_is_noted(
    key: str, value: str, words: str
) -> None:
    (note,) = notes_of(TWO_NODES, **quiet_with("placement", **{key: value}))

    assert note.startswith(f"placement.{key.replace('_', '-')} is {value}, which is there to")
    assert words in note


def test_an_update_that_leaves_nothing_serving_is_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("rollout", max_unavailable=2)) == (
        "rollout.max-unavailable is 2 of 2: an update leaves no instance serving",
    )


def test_an_update_that_cuts_requests_is_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("rollout", drain=False)) == (
        "rollout.drain is false: an update cuts the requests in flight",
    )


def test_the_use_of_siblings_is_noted_where_there_are_any() -> None:
    rules = quiet_with("placement", smt="siblings")

    assert notes_of(TWO_NODES, **rules) == ()
    assert notes_of({0: ["0,4", "1,5"], 1: ["2,6", "3,7"]}, **rules) == (
        "placement.smt is siblings: an instance runs on all 2 CPUs of each core of host box, which "
        "share the core's arithmetic units; measure it against one-per-core",
    )


@pytest.mark.parametrize(("section", "name"), [("server", "a/b"), ("balancer", "nginx")])
def test_an_image_by_tag_alone_is_noted(section: str, name: str) -> None:
    digest = "@sha256:" + "0123456789abcdef" * 4

    assert notes_of(TWO_NODES, **quiet_with(section, image=f"{name}:1{digest}")) == ()
    assert notes_of(TWO_NODES, **quiet_with(section, image=f"{name}{digest}")) == ()
    assert notes_of(TWO_NODES, **quiet_with(section, image=f"{name}:1")) == (
        f"{section}.image is {name}:1, by tag and not by digest: the registry can give another "
        "image under that name; `make pin` writes the digest",
    )


def test_an_endpoint_that_other_machines_reach_is_noted() -> None:
    assert notes_of(TWO_NODES, **quiet_with("balancer", address="127.1.2.3")) == ()
    assert notes_of(TWO_NODES, **quiet_with("balancer", address="10.0.0.5")) == (
        "balancer.address is 10.0.0.5: other machines reach the endpoint, which has neither TLS "
        "nor a key",
    )


def test_a_development_machine_gets_the_notes_of_one() -> None:
    rules = {"instances-per-node": 2, "cores-per-instance": 1}

    assert notes_of(ONE_NODE, placement=rules) == (
        "every core of host box runs an instance, and the operating system shares them; "
        "placement.reserved-cpus keeps cores free",
        "the balancer floats (balancer.cpus is empty): it shares CPUs 0-1 with the instances",
    )
