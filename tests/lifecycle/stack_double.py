"""A stack with two instances and a balancer on a Docker engine at the edge of the SDK."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lifecycle.balancer_config import DIRECTORY
from lifecycle.found import BALANCER
from lifecycle.member import cordon_path, member_path, render_member
from lifecycle.stack_file import StackFile, read_stack_file
from tests.lifecycle.docker_double import Engine, Machine
from tests.lifecycle.world import BALANCER as BALANCER_NAME
from tests.lifecycle.world import World, write_proc

ROOT = Path(__file__).parents[2]
FIRST, SECOND = "box-node0-0", "box-node0-1"
# The second network gives addresses as they come.
NETWORKS = {
    "Networks": {
        "outer": {"IPAMConfig": None},
        "inner": {"IPAMConfig": {"IPv4Address": "127.0.0.1"}},
    }
}
LABELS = {"ovms-numa.project": "ovms-numa", "ovms-numa.stack": "dev"}


@dataclass(kw_only=True)
class Labelled(Machine):
    """A container that also has what a command reads of it."""

    more: dict[str, Any] = field(default_factory=dict)

    def attrs(self) -> dict[str, Any]:
        attrs = super().attrs() | {"RestartCount": 2}
        attrs["State"]["StartedAt"] = "2026-03-01T09:08:07.654321Z"
        for key, value in self.more.items():
            attrs[key] = attrs[key] | value if key in attrs else value
        return attrs


@dataclass(kw_only=True)
class Stack:
    """The stack: its world, its file, and its machines by role."""

    world: World
    file: StackFile
    machines: dict[str, Machine]

    def put(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            file = self.world.volume / "current" / path
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)

    def put_members(self, *open_ones: str, of: Iterable[str] = (FIRST, SECOND)) -> None:
        """Have the balancer know the instances, some of them open."""
        self.put({member_path(name): self.member(is_open=name in open_ones) for name in of})

    def member(self, *, is_open: bool) -> bytes:
        return render_member("127.0.0.1", self.world.server.port, 1, is_open=is_open)

    def read(self, path: str) -> bytes | None:
        file = self.world.volume / "current" / path
        return file.read_bytes() if file.exists() else None

    def is_cordoned(self, name: str) -> bool:
        return self.read(cordon_path(name)) is not None


def stand_up_stack(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Stand up a stack of two open, proven instances in *world*."""
    port = world.server.port
    machines: dict[str, Machine] = {
        name: _instance(world, name, folder / f"proc-{name}") for name in (SECOND, FIRST)
    }
    machines[BALANCER] = world.balancer = _balancer(world, folder / "proc-balancer")
    for machine in machines.values():
        write_proc(machine.mounts["/proc"], port=port, tasks={7: ("0", "0"), 12: ("0", "0")})
    world.engine = Engine(
        machines={machine.name: machine for machine in machines.values()},
        helper=world.engine.helper,
    )
    stack = Stack(world=world, file=_stack_file(folder), machines=machines)
    stack.put_members(FIRST, SECOND)
    monkeypatch.setattr("lifecycle.found.LISTEN_PORT", port)
    return stack


def _instance(world: World, name: str, proc: Path) -> Machine:
    return Labelled(
        name=f"stack-{name}",
        calls=world.calls,
        mounts={"/proc": proc},
        labels={
            **LABELS,
            "ovms-numa.role": name,
            "ovms-numa.instance": name,
            "ovms-numa.cpus": "0",
            "ovms-numa.memory-nodes": "0",
        },
        more={
            "Config": {
                "Cmd": ["--rest_port", str(world.server.port), "--metrics_enable"],
                "Image": "server:1",
            },
            "NetworkSettings": NETWORKS,
        },
    )


def _balancer(world: World, proc: Path) -> Machine:
    published = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}]}
    return Labelled(
        name=BALANCER_NAME,
        calls=world.calls,
        mounts={**world.balancer.mounts, "/proc": proc},
        programs=world.balancer.programs,
        user=world.balancer.user,
        on_start=world.load,
        labels={**LABELS, "ovms-numa.role": BALANCER},
        more={
            "Config": {"Image": "nginx:1"},
            "HostConfig": {"PortBindings": published},
            "NetworkSettings": NETWORKS,
            "Mounts": [{"Destination": DIRECTORY, "Name": "volume"}],
        },
    )


def _stack_file(folder: Path) -> StackFile:
    return read_stack_file(write_stack_file(folder))


def write_stack_file(folder: Path, **settings: Any) -> Path:
    """Write the file of a stack `dev` beside its project's; return its path."""
    text = {"config": {"ovms-numa:settings": {"hosts": {"box": {}}, **settings}}}
    file = folder / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump(text))
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    return file
