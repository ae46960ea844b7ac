from ipaddress import IPv4Network
from typing import Any

import pytest

from planner.claims import Claim, check_claims
from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.placement import plan
from tests.planner.worlds import TWO_NODES, make_host, make_settings


def claim(stack: str = "other", *, cpus: str = "", **values: Any) -> Claim:
    fields = {"host": "box", "project": "ovms-numa", "stack": stack, **values}
    return Claim(cpus=CpuSet.parse(cpus), **fields)


def faults_of(*claims: Claim, **sections: Any) -> tuple[str, ...]:
    settings = make_settings(**sections)
    try:
        check_claims(plan(settings, {"box": make_host(TWO_NODES)}), settings, claims)
    except PlacementError as error:
        return error.faults
    return ()


def test_a_host_of_its_own_is_not_shared() -> None:
    assert faults_of() == ()
    assert faults_of(claim(host="far", cpus="0-7", ports=frozenset({("127.0.0.1", 8000)}))) == ()


def test_cpus_of_another_stack_are_refused_unless_sharing_is_allowed() -> None:
    (fault,) = faults_of(claim(cpus="2-5"))

    assert fault.startswith("CPUs 2-5 of host box run instances of the stack ovms-numa/other. ")
    assert faults_of(claim(cpus="2-5"), placement={"cpu-sharing": "allowed"}) == ()


def test_cpus_that_the_plan_keeps_off_are_free_to_others() -> None:
    assert faults_of(claim(cpus="0"), placement={"reserved-cpus": "0"}) == ()


def test_instances_without_a_cpu_set_take_no_cpus_of_others() -> None:
    assert faults_of(claim(cpus="0-7"), placement={"cpu-binding": "none"}) == ()


@pytest.mark.parametrize(
    ("theirs", "ours", "meet"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "10.0.0.5", True),  # noqa: S104
        ("10.0.0.5", "0.0.0.0", True),  # noqa: S104
        ("10.0.0.5", "10.0.0.6", False),
    ],
)
def test_a_port_is_taken_once_on_an_address_whatever_is_shared(
    theirs: str, ours: str, meet: bool
) -> None:
    sections = {"balancer": {"address": ours}, "placement": {"cpu-sharing": "allowed"}}

    assert bool(faults_of(claim(ports=frozenset({(theirs, 8000)})), **sections)) is meet
    assert faults_of(claim(ports=frozenset({(theirs, 8001)})), **sections) == ()


def test_networks_do_not_overlap() -> None:
    assert faults_of(claim(subnet=IPv4Network("172.30.80.128/25"))) == (
        "hosts.box.subnet: 172.30.80.0/24 overlaps 172.30.80.128/25, the network of the stack "
        "ovms-numa/other. Write a network of this stack's own.",
    )
    assert faults_of(claim(subnet=IPv4Network("172.30.81.0/24"))) == ()


def test_all_that_is_taken_is_told_at_once_in_order_of_stack() -> None:
    ports = frozenset({("127.0.0.1", 8000)})

    faults = faults_of(claim("b", cpus="0", ports=ports), claim("a", cpus="1"))

    assert ["stack ovms-numa/a" in fault for fault in faults] == [True, False, False]
    assert len(faults) == 3
