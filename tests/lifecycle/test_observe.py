"""What a look at the host says of the instances that it finds there."""

import os
import threading
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import NotFound

from lifecycle.observe import Observation, observe
from lifecycle.reach import Where
from planner.labels import CPUS, INCARNATION, INSTANCE, MEMORY_NODES, ROLE

OWN = {"ovms-numa.project": "ovms-numa", "ovms-numa.stack": "dev"}
HERE = ",".join(map(str, sorted(os.sched_getaffinity(0))))


def instance(name: str = "box-node0-0", **differing: Any) -> SimpleNamespace:
    """A container that is this very process, bound to nothing."""
    labels = {
        ROLE: name,
        INSTANCE: name,
        INCARNATION: f"word-{name}",
        **differing.pop("labels", {}),
    }
    fields = {
        "name": f"ovms-numa-dev-{name}",
        "status": "running",
        "address": "172.30.80.16",
        "policy": "unless-stopped",
        "ports": {},
        "pid": os.getpid(),
        **differing,
    }
    networks = {"inner": {"IPAMConfig": {"IPv4Address": fields["address"]}}}
    return SimpleNamespace(
        id=f"id of {fields['name']}",
        name=fields["name"],
        status=fields["status"],
        labels={**OWN, **labels},
        attrs={
            "Config": {"Image": "image:1"},
            "HostConfig": {
                "Memory": 0,
                "RestartPolicy": {"Name": fields["policy"]},
                "PortBindings": fields["ports"],
            },
            "NetworkSettings": {"Networks": networks if fields["address"] else {}},
        },
        top=lambda **_: {"Processes": [[str(fields["pid"])]]},
    )


@pytest.fixture(autouse=True)
def inside(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a container's own /proc shows, by its name."""
    shown: dict[str, str] = {}
    monkeypatch.setattr(
        "lifecycle.observe.docker_host.run", lambda container, *_: shown.get(container.name, "")
    )
    return shown


def look(monkeypatch: pytest.MonkeyPatch, *containers: SimpleNamespace) -> Observation:
    def absent(_: str) -> None:
        raise NotFound("no such container")

    nothing = SimpleNamespace(list=lambda **_: [])
    engine = SimpleNamespace(
        ping=lambda: True,
        info=dict,
        containers=SimpleNamespace(
            # The second time, what other stacks have is asked for.
            list=lambda filters, **_: list(containers) if len(filters["label"]) > 1 else [],
            get=absent,
        ),
        networks=nothing,
        volumes=nothing,
        images=SimpleNamespace(get=lambda _: None),
    )
    monkeypatch.setattr(docker, "DockerClient", lambda **_: engine)
    return observe("box", Where(docker="unix:///run/docker.sock"), OWN, (), ())


def test_an_instance_that_runs_as_planned_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(monkeypatch, instance(labels={CPUS: HERE}))

    assert seen.faults == {}
    assert seen.serving == {"box-node0-0"}
    assert seen.incarnations == {"box-node0-0": "word-box-node0-0"}
    assert seen.addresses == {"172.30.80.16": "box-node0-0"}


def test_the_ports_of_instances_are_the_stacks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {"8000/tcp": [{"HostIp": "10.0.0.2", "HostPort": "8000"}]}

    seen = look(monkeypatch, instance(ports=ports), instance("box-node1-0"))

    assert seen.published == {("10.0.0.2", 8000)}


def test_an_instance_without_a_network_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the word that it was made with, the engine makes a new one."""
    seen = look(monkeypatch, instance(address=None), instance("box-node1-0"))

    assert seen.faults == {"box-node0-0": "is cut off from the instances' network"}
    assert seen.serving == {"box-node1-0"}
    assert seen.incarnations == {"box-node1-0": "word-box-node1-0"}


@pytest.mark.parametrize(
    ("differing", "fault"),
    [
        ({"status": "exited"}, "is exited, not running"),
        ({"policy": "no"}, "has the restart policy 'no' instead of 'unless-stopped'"),
        (
            {"pid": 2**22 + 1},
            "shows no task, neither in the /proc of its host nor in its own: it just ended",
        ),
        (
            {"labels": {MEMORY_NODES: "63"}},
            "was re-pinned: memory nodes: planned 63, found ",
        ),
    ],
)
def test_what_is_wrong_with_an_instance_is_said(
    differing: dict[str, Any], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = look(monkeypatch, instance(**differing))

    assert seen.faults["box-node0-0"].startswith(fault)


def test_tasks_that_the_hosts_proc_hides_are_read_in_the_container(
    monkeypatch: pytest.MonkeyPatch, inside: dict[str, str]
) -> None:
    """As with `hidepid`, where a user sees no process of others."""
    hidden = instance(pid=2**22 + 1, labels={CPUS: "4-7", MEMORY_NODES: "1"})
    moved = instance("box-node1-0", pid=2**22 + 1, labels={CPUS: "0-3", MEMORY_NODES: "0"})
    status = "Cpus_allowed_list:\t4-7\nMems_allowed_list:\t1\n"
    inside.update({hidden.name: status, moved.name: status})

    seen = look(monkeypatch, hidden, moved)

    assert seen.faults == {
        "box-node1-0": "was re-pinned: CPUs: planned 0-3, found 4-7; "
        "memory nodes: planned 0, found 1"
    }


def test_every_task_counts_not_only_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("with one CPU there is no other one to be on")
    done = threading.Event()
    bound = threading.Event()

    def elsewhere() -> None:
        os.sched_setaffinity(0, {cpus[-1]})
        bound.set()
        done.wait()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    bound.wait()
    try:
        seen = look(monkeypatch, instance(labels={CPUS: str(cpus[0])}))
    finally:
        done.set()
        thread.join()

    assert seen.faults["box-node0-0"].startswith(f"was re-pinned: CPUs: planned {cpus[0]}, found ")
