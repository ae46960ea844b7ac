"""A host with a balancer and one instance, as the actions find it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from lifecycle import balancer_config
from lifecycle.member import sealed
from lifecycle.reach import Link, Where
from lifecycle.spec import Activation
from tests.lifecycle.docker_double import Engine, Machine
from tests.lifecycle.local_server import Answer, LocalServer, serve

NAME, BALANCER, VOLUME = "box-node0-0", "stack-balancer", "stack-balancer"
CONTAINER = f"stack-{NAME}"
MEMBER = f"members/{NAME}.conf"
MODEL = "smollm2-135m-instruct"

# A listening socket of the server and one of Docker's resolver, as /proc/net/tcp shows them.
_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:96CB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 118915 \
1 000000004a2454c4 100 0 0 10 0
   1: 00000000:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  5000        0 \
119100 1 000000000732031a 100 0 0 10 0
"""
_ESTABLISHED = """\
   {row}: 10501EAC:{port:04X} 02501EAC:{peer:04X} 01 00000000:00000000 00:00000000 00000000  5000 \
       0 {inode} 1 000000002bc54a49 20 4 31 12 -1
"""
_STATUS = """\
Name:\tpython3
Tgid:\t7
Pid:\t{task}
Threads:\t2
Cpus_allowed:\t1
Cpus_allowed_list:\t{cpus}
Mems_allowed:\t00000000,00000001
Mems_allowed_list:\t{memory}
voluntary_ctxt_switches:\t7883
"""

# What the balancer's image runs: refuses what is broken, and loads what is current.
_NGINX = """\
#!/bin/sh
if [ "$1" = -t ]; then
    grep -rl broken "$4" "$(dirname "$4")/serving" >&2 && exit 1
    exit 0
fi
readlink {volume}/current > {volume}/loaded
"""


# 4 MiB of its own and a model of 2 MiB, all on node 0.
LOCAL = """\
5590fffb7000 default heap anon=1024 dirty=1024 active=0 N0=1024 kernelpagesize_kB=4
7ff4b1c00000 default file=/workspace/m/openvino_model.bin mapped=512 N0=512 kernelpagesize_kB=4
"""


def write_proc(
    proc: Path,
    *,
    port: int,
    tasks: Mapping[int, tuple[str, str]],
    connections: int = 0,
    tcp6: str | None = None,
    numa_maps: str | None = LOCAL,
) -> None:
    """Write what /proc shows of a server, process 7, whose tasks have these CPUs and memory."""
    write_numa_maps(proc, numa_maps)
    links = {"1/fd/0": "/dev/null", "1/fd/1": "pipe:[118848]", "7/fd/0": "/dev/null"}
    for path, target in (links | {"7/fd/3": "socket:[119100]"}).items():
        (proc / path).parent.mkdir(parents=True, exist_ok=True)
        (proc / path).unlink(missing_ok=True)
        (proc / path).symlink_to(target)
    for task, (cpus, memory) in tasks.items():
        status = proc / f"7/task/{task}/status"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(_STATUS.format(task=task, cpus=cpus, memory=memory))
    write_sockets(proc, port=port, connections=connections, tcp6=tcp6)


def write_numa_maps(proc: Path, text: str | None) -> None:
    """Write where the pages of the server lie; none: as a kernel without NUMA."""
    for process in ("self", "7"):
        maps = proc / process / "numa_maps"
        maps.parent.mkdir(parents=True, exist_ok=True)
        maps.unlink(missing_ok=True)
        if text is not None:
            maps.write_text(text)


def write_sockets(proc: Path, *, port: int, connections: int, tcp6: str | None = None) -> None:
    """Write the socket table of a server with so many open connections."""
    (proc / "net").mkdir(parents=True, exist_ok=True)
    rows = (
        _ESTABLISHED.format(row=2 + n, port=port, peer=40000 + n, inode=250000 + n)
        for n in range(connections)
    )
    fresh = proc / "net/tcp.new"
    fresh.write_text(_TCP.format(port=port) + "".join(rows))
    fresh.replace(proc / "net/tcp")
    if tcp6 is not None:
        (proc / "net/tcp6").write_text(tcp6)


GENERATED = '{"choices": [{"text": "1"}]}'
"""What a server answers to the completion of one token."""


@dataclass(kw_only=True)
class World:
    """The host, and every call to it and request in it, in order."""

    engine: Engine
    instance: Machine
    balancer: Machine
    server: LocalServer
    volume: Path
    proc: Path
    calls: list[str]
    said: list[str] = field(default_factory=list)
    # The CPUs and memory nodes that the kernel enforces; none: those that were set.
    enforced: tuple[str, str] | None = None
    # Where the server's pages lie once it is started; none: as a kernel without NUMA.
    numa_maps: str | None = LOCAL

    def spec(self, **changes: Any) -> Activation:
        return Activation.model_validate(activation(**{"port": self.server.port, **changes}))

    @property
    def link(self) -> Link:
        """To the host, which is this machine."""
        where = Where(docker="unix:///var/run/docker.sock")
        return Link(where=where, client=self.engine.client)

    def told(self) -> list[str]:
        """What was said, with every time as N s."""
        return [re.sub(r"\d+\.\d s", "N s", words) for words in self.said]

    def member(self) -> str | None:
        """The server line of the instance's member file in the current generation."""
        path = self.volume / "current" / MEMBER
        return path.read_text().splitlines()[-1] if path.exists() else None

    def serve_as_planned(self) -> None:
        """Have the instance run as its spec says, bound and open."""
        self.instance.status, self.instance.cpus, self.instance.memory_nodes = "running", "0", "0"
        self.show_tasks()
        self.put_member("", weight=1)

    def show_tasks(self) -> None:
        lists = self.enforced or (self.instance.cpus, self.instance.memory_nodes)
        tasks = {7: lists, 12: lists}
        write_proc(self.proc, port=self.server.port, tasks=tasks, numa_maps=self.numa_maps)

    def load(self) -> None:
        """Have Nginx run with what is current."""
        (self.volume / "loaded").write_text((self.volume / "current").readlink().name)

    def health(self) -> Answer:
        """What Nginx answers of itself: the generation it runs with."""
        loaded = self.volume / "loaded"
        if self.balancer.status != "running" or not loaded.exists():
            return 503, ""
        return 200, f'{{"generation":{loaded.read_text().strip().removeprefix("gen-")}}}'

    def put_member(self, suffix: str, *, weight: int = 1) -> None:
        line = f"server 127.0.0.1:{self.server.port} weight={weight} max_fails=0{suffix};"
        text = f"# model {MODEL}\n{line}\n"
        (self.volume / "current" / MEMBER).write_bytes(sealed(text))


def activation(**changes: Any) -> dict[str, Any]:
    """A spec as a program writes it."""
    timeouts = {"start_s": 5, "generate_s": 5, "drain_s": 5, "stop_s": 3}
    timeouts |= changes.pop("timeouts", {})
    return {
        "version": 1,
        "instance": NAME,
        "docker": "unix:///var/run/docker.sock",
        "container": CONTAINER,
        "cpus": "0",
        "memory_nodes": "0",
        "address": "127.0.0.1",
        "port": 8001,
        "models": [MODEL],
        "weight": 1,
        "drain": True,
        "balancer": balancer(),
        **changes,
        "timeouts": timeouts,
    }


def balancer() -> dict[str, Any]:
    return {
        "container": BALANCER,
        "volume": VOLUME,
        "address": "127.0.0.1",
        "keepalive_min_s": 0,
    }


@contextmanager
def stand_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Stand up the host in *folder*: the balancer runs with generation 1, the instance is new."""
    world = _world(folder, programs=_volume(folder))
    monkeypatch.setattr(docker, "DockerClient", lambda **_: world.engine)
    # Counting more often than in earnest proves the same.
    monkeypatch.setattr("lifecycle.drain._POLL_S", 0.05)
    monkeypatch.setattr("lifecycle.readiness._POLL_S", 0.02)
    with serve(world.server), serve(LocalServer(answers={"GET /healthz": world.health})) as health:
        monkeypatch.setattr(balancer_config, "LISTEN_PORT", health.port)
        yield world


def _volume(folder: Path) -> Path:
    """Make the balancer's volume and the program that reads it; return the program's folder."""
    volume, programs = folder / "volume", folder / "bin"
    (volume / "gen-1/members").mkdir(parents=True)
    (volume / "gen-1/nginx.conf").write_text("events {}\n")
    (volume / "current").symlink_to("gen-1")
    (volume / "loaded").write_text("gen-1\n")
    programs.mkdir()
    (programs / "nginx").write_text(_NGINX.format(volume=volume))
    (programs / "nginx").chmod(0o755)
    return programs


def _world(folder: Path, *, programs: Path) -> World:
    calls: list[str] = []
    volume, proc = folder / "volume", folder / "proc"
    proc.mkdir()

    def with_the_volume(name: str, status: str) -> Machine:
        return Machine(
            name=name,
            calls=calls,
            mounts={balancer_config.DIRECTORY: volume},
            programs=programs,
            user="101:102",
            status=status,
        )

    balancer = with_the_volume(BALANCER, "running")
    instance = Machine(
        name=CONTAINER, calls=calls, mounts={"/proc": proc}, status="created", log="loading\n"
    )
    server = LocalServer(
        answers={
            f"GET /v2/models/{MODEL}/ready": [(404, ""), (200, "")],
            "POST /v3/completions": [(200, GENERATED)],
        },
        on_request=lambda request: calls.append(f"server: {request}"),
    )
    world = World(
        engine=Engine(
            machines={CONTAINER: instance, BALANCER: balancer},
            helper=lambda _: with_the_volume("helper", "created"),
        ),
        instance=instance,
        balancer=balancer,
        server=server,
        volume=volume,
        proc=proc,
        calls=calls,
    )
    instance.on_start, balancer.on_start = world.show_tasks, world.load
    return world
