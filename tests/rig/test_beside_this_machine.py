"""One stack on the rig and on this machine, which has the balancer; then the rig dies."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.engine.operator import asked
from tests.engine.stack import ROOT, Stack, alone
from tests.rig import disk, machine, stock
from tests.rig.conftest import rig_settings
from tests.rig.place import Place
from tests.rig.reached import Rig

pytestmark = pytest.mark.rig

ADDRESS = "10.0.2.15"
"""The guest's own. QEMU listens there on this machine, so that this machine's balancer gets in."""

PORTS = (8000, 8001)
STACK = "beside"
FAR = ("rig-node0-0", "rig-node1-0")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """An address of this machine, while the rig runs."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("an address is given to this machine by root with ip")
    words = ["dev", "lo"]
    subprocess.run(["ip", "address", "replace", f"{ADDRESS}/32", *words], check=True)
    yield ADDRESS
    subprocess.run(["ip", "address", "delete", f"{ADDRESS}/32", *words], check=True)


@pytest.fixture(scope="module")
def far(address: str) -> Iterator[Rig]:
    """A rig of its own: it is not alive at the end."""
    alone(STACK)
    place = Place(ROOT / ".rig" / "beside")
    machine.stop(place)
    plan = machine.Plan(
        topology="2-nodes",
        disk=disk.stocked(),
        ssh_port=machine.free_port(),
        ports=PORTS,
        address=address,
    )
    running = machine.start(place, plan)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSH_AUTH_SOCK", str(place.agent))
            yield Rig(place, running)
    finally:
        machine.stop(place)


@pytest.fixture(scope="module")
def models(far: Rig, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the rig's model, the same on both hosts."""
    folder = tmp_path_factory.mktemp("models")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    stock.build_images()
    stock.make_model(folder, "tiny")
    far.administer(f"mkdir -p {folder} && ln -s /srv/models/tiny {folder}/tiny")
    return f"{folder}/tiny"


@pytest.fixture(scope="module")
def stack(far: Rig, models: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = rig_settings(far)
    settings["hosts"]["rig"]["address"] = ADDRESS
    settings["hosts"]["near"] = {"subnet": "172.30.122.0/24"}
    settings["placement"] = {"cores-per-instance": 1, "cpu-sharing": "allowed"}
    settings["models"]["directory"] = models
    settings["balancer"] = {
        "host": "near",
        "port": 18101,
        "image": settings["balancer"]["image"],
        "keepalive-min-timeout-s": 1,
    }
    stack = Stack(name=STACK, folder=tmp_path_factory.mktemp("stack"), settings=settings)
    stack.clear()
    try:
        run = stack.up()
        assert run.status == 0, run.output
        yield stack
    finally:
        del settings["hosts"]["rig"]
        stack.configure({})
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


def test_instances_of_both_machines_answer_behind_one_endpoint(stack: Stack) -> None:
    outputs = stack.outputs()
    stack.nothing_to_do()

    load = asked(str(outputs["endpoint"]), model="tiny", count=12)

    assert [row["instance"] for row in outputs["plan"]] == ["near-node0-0", *FAR]
    assert [row["memory_nodes"] for row in outputs["plan"]] == ["0", "0", "1"]
    assert load.failures == []
    assert {f"{ADDRESS}:{port}" for port in PORTS} < set(load.answers)


def test_a_machine_that_died_is_left_alone_and_can_be_forgotten(stack: Stack, far: Rig) -> None:
    machine.stop(far.place)

    quiet = stack.preview("--expect-no-changes")
    forgotten = subprocess.run(
        ["venv/bin/python", "-m", "lifecycle.forget", "--stack", stack.name, "--host", "rig"],
        cwd=ROOT, env=stack.environment(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    load = asked(str(stack.outputs()["endpoint"]), model="tiny")

    assert quiet.status == 0, quiet.output
    assert f"not looked at: {far.where.docker}: connecting over SSH: " in quiet.output
    assert forgotten.returncode == 0, forgotten.stderr
    assert f"beside: took {', '.join(FAR)} out of the balancer" in forgotten.stdout
    assert (load.failures, [at for at in load.answers if ADDRESS in at]) == ([], [])
