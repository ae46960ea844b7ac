"""The rig, started once for the tests that want the same topology, and the stack on it."""

from collections.abc import Iterator
from typing import Any

import pytest

from planner.stack_file import stack_settings
from tests.engine.stack import ROOT, Run, Stack, alone
from tests.rig import disk, machine
from tests.rig.place import Place
from tests.rig.reached import Rig
from tests.rig.report import Report
from tests.rig.tree import HOSTS

STACK = "rig-test"
"""Another name than the stack file's, which `make up STACK=rig` may have the state of."""


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """
    A rig of the topology ``2-nodes``, or of the parameter; beside one that `make rig` started.

    Parametrize with ``pytest.mark.parametrize("rig", ["snc-4-nodes"], indirect=True)``.
    """
    topology = getattr(request, "param", "2-nodes")
    alone(STACK)
    place = Place(Place().folder / "tests")
    # A killed run left it.
    machine.stop(place)
    plan = machine.Plan(
        topology=topology,
        disk=disk.stocked(),
        ssh_port=machine.free_port(),
        ports=(machine.free_port(),),
    )
    running = machine.start(place, plan)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSH_AUTH_SOCK", str(place.agent))
            yield Rig(place, running)
    finally:
        machine.stop(place)


def rig_settings(rig: Rig) -> dict[str, Any]:
    """Return the settings of Pulumi.rig.yaml, for the topology and ports of *rig*."""
    file = ROOT / "Pulumi.rig.yaml"
    settings: dict[str, Any] = dict(stack_settings(file.read_text(), file.name))
    settings["hosts"]["rig"] |= {
        "docker": rig.where.docker,
        "known-hosts": str(rig.place.known_hosts.relative_to(ROOT)),
        "topology": f"hosts/{HOSTS[rig.running.topology]}.json",
    }
    settings["balancer"]["port"] = rig.running.ports[0]
    return settings


@pytest.fixture(scope="session")
def rig_created(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Run]]:
    """The stack of Pulumi.rig.yaml on the rig, and the run that made it from nothing."""
    settings = rig_settings(rig)
    folder = tmp_path_factory.mktemp("rig")
    stack = Stack(name=STACK, folder=folder, settings=settings, client=rig.client)
    stack.clear()
    run = stack.up()
    assert run.status == 0, run.output
    yield stack, run
    stack.client = rig.client
    removed = stack.destroy()
    assert removed.status == 0, removed.output
    assert stack.remains() == []


@pytest.fixture
def rig_stack(rig_created: tuple[Stack, Run]) -> Stack:
    """The stack on the rig; a test that changes it changes it back."""
    stack, _ = rig_created
    return stack


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """The times that the tests of this session measured."""
    report = Report()
    yield report
    report.write()
