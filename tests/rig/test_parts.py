"""What the rig is made of, without starting it."""

import dataclasses
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from images.devserver.devserver.gguf import read_metadata
from images.recipes import recipe_hash
from planner.settings import parse_settings
from planner.stack_file import stack_settings
from tests.engine.stack import ROOT
from tests.rig import machine, model, stock
from tests.rig.errors import RigError
from tests.rig.place import Place, Running
from tests.rig.topologies import CPUS, TOPOLOGIES


def _running(pid: int) -> Running:
    return Running(pid=pid, agent_pid=pid, topology="2-nodes", ssh_port=1, ports=())


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_each_topology_gives_every_cpu_to_one_node(name: str) -> None:
    options = TOPOLOGIES[name].options()
    ranges = [
        part.removeprefix("cpus=")
        for option in options
        for part in option.split(",")
        if part.startswith("cpus=")
    ]
    cpus: list[int] = []
    for each in ranges:
        first, _, last = each.partition("-")
        cpus += range(int(first), int(last or first) + 1)

    assert sorted(cpus) == list(range(CPUS))
    assert options[:2][1].startswith(f"{CPUS},sockets=2,")


@pytest.mark.parametrize("quantised", [False, True])
def test_a_model_is_the_same_bytes_each_time_and_says_what_it_is(
    tmp_path: Path, *, quantised: bool
) -> None:
    shape = dataclasses.replace(model.SHAPES["tiny"], quantised=quantised)
    first, second = tmp_path / "first", tmp_path / "second"

    model.write_gguf(first, shape)
    model.write_gguf(second, shape)

    assert first.read_bytes() == second.read_bytes()
    metadata = read_metadata(first)
    assert metadata["llama.embedding_length"] == shape.hidden
    assert metadata["llama.block_count"] == shape.layers
    # Of 16 bits a number, or of 8 and a half.
    numbers = 2 * (4 * 64 * 64 + 3 * 64 * 256)
    least = numbers * 34 // 32 if quantised else numbers * 2
    assert least < first.stat().st_size < 1.5 * least


def test_the_stack_file_names_what_the_rig_is_stocked_with_and_where_it_answers() -> None:
    file = ROOT / "Pulumi.rig.yaml"
    settings = parse_settings(stack_settings(file.read_text(), file.name), file.name)
    place = Place()

    host = settings.hosts["rig"]
    assert host.docker == f"ssh://deploy@127.0.0.1:{machine.SSH_PORT}"
    assert ROOT / str(host.known_hosts) == place.known_hosts
    assert settings.server.image == stock.reference("devserver")
    assert settings.balancer.image == stock.reference("nginx")
    assert settings.balancer.port in machine.PORTS
    assert settings.models.directory == f"/srv/models/{settings.models.names[0]}"
    assert settings.models.names[0] in model.SHAPES


def test_the_stock_is_told_from_that_of_other_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stock.key()

    monkeypatch.setattr(stock, "recipe_hash", lambda name: f"{recipe_hash(name)}-changed")

    assert stock.key() != before


def test_keys_are_made_once_and_only_root_of_the_guest_reads_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path / "rig")

    place.make_keys(2222)
    first = place.known_hosts.read_text()
    place.make_keys(2222)

    assert place.known_hosts.read_text() == first
    assert first.startswith("[127.0.0.1]:2222 ssh-ed25519 ")
    with tarfile.open(place.keys) as tar:
        modes = {entry.name: (entry.mode, entry.uid) for entry in tar}
    assert modes["etc/ssh/ssh_host_ed25519_key"] == (0o600, 0)
    assert modes["home/deploy/.ssh"] == (0o700, 1000)
    assert modes["root/.ssh/authorized_keys"] == (0o600, 0)


def test_a_process_that_is_not_the_rigs_is_left_alone(tmp_path: Path) -> None:
    """The number of a process that ended is given to another one."""
    place = Place(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as other:
        place.write(_running(other.pid))

        assert not machine.is_alive(place, other.pid)
        machine.stop(place)

        assert other.poll() is None
        other.kill()
    assert place.read() is None


def test_a_rig_that_runs_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.write(_running(os.getpid()))
    monkeypatch.setattr(machine, "is_alive", lambda _place, _pid: True)

    with pytest.raises(RigError, match=r"runs already, as process \d+"):
        machine.start(place, machine.Plan(topology="2-nodes", disk=tmp_path / "disk"))


def test_a_start_without_an_emulator_leaves_no_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is there first, so that no emulator runs on which nobody can end."""
    place = Place(tmp_path)
    agents: list[int] = []

    def fails(_place: Place, _plan: machine.Plan) -> int:
        known = place.read()
        assert known is not None
        agents.append(known.agent_pid)
        raise RigError("QEMU did not start")

    monkeypatch.setattr(machine, "_start_emulator", fails)

    with pytest.raises(RigError, match="QEMU did not start"):
        machine.start(place, machine.Plan(topology="2-nodes", disk=tmp_path / "disk"))

    (agent,) = agents
    assert str(place.agent) not in command_line(agent)
    assert place.read() is None


def command_line(pid: int) -> str:
    """The words of a process; none where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_an_interrupted_start_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    stopped: list[Place] = []

    def interrupted(_place: Place, _running: Running) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(machine, "_launch", lambda _place, _plan: _running(1))
    monkeypatch.setattr(machine, "wait_until_ready", interrupted)
    monkeypatch.setattr(machine, "stop", stopped.append)

    with pytest.raises(KeyboardInterrupt):
        machine.start(place, machine.Plan(topology="2-nodes", disk=tmp_path / "disk"))

    assert stopped == [place]
