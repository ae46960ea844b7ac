"""A project's folder, a CLI with a state, and a Docker engine, for what recovers from a kill."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from lifecycle import recover_docker
from lifecycle.recover import main

STACK, PROJECT, STATE_ID = "test", "ovms-numa", "637a0d2d"
LABELS = {
    "ovms-numa.project": PROJECT,
    "ovms-numa.stack": STACK,
    "ovms-numa.state": STATE_ID,
}
DOCKER_URL = "unix:///var/run/docker.sock"
URN = f"urn:pulumi:{STACK}::{PROJECT}"

# Stands for the CLI: it keeps a state in a file, and refuses to write it while a lock is there.
PULUMI = """\
import json, pathlib, sys
home = pathlib.Path({home!r})
arguments = " ".join(sys.argv[1:])
locks = [*(home / "backend" / ".pulumi" / "locks").rglob("*.json")]
if arguments.startswith("whoami"):
    print(json.dumps({{"user": "me", "url": (home / "url").read_text()}}))
elif not (home / "state.json").is_file():
    sys.exit("error: no stack named 'test' found")
elif any(not path.stat().st_size for path in (home / "backend").rglob("test.json.attrs")):
    sys.exit("error: failed to load checkpoint: EOF")
elif arguments.startswith("stack export --stack"):
    print((home / "state.json").read_text())
elif locks or (home / "locked").exists():
    sys.exit("error: could not import deployment: the stack is currently locked by 1 lock(s).")
else:
    (home / "state.json").write_text(sys.stdin.read())
    (home / "imports").open("a").write("1")
"""


def resource(kind: str, name: str, **more: object) -> dict[str, object]:
    return {"urn": f"{URN}::{kind}::{name}", "type": kind, **more}


@dataclass(kw_only=True)
class Thing:
    """A container, a network or a volume."""

    name: str
    id: str
    labels: dict[str, str]
    refuses: APIError | None = None
    removed: bool = False

    def remove(self, **how: bool) -> None:
        assert how in ({}, {"force": True, "v": True})
        if self.refuses:
            raise self.refuses
        self.removed = True


@dataclass(kw_only=True)
class Things:
    """A collection of the SDK's client."""

    things: list[Thing] = field(default_factory=list)

    def list(self, *, filters: dict[str, list[str]], **_more: bool) -> list[Thing]:
        return [
            thing
            for thing in self.things
            if not thing.removed
            and {f"{key}={value}" for key, value in thing.labels.items()} >= set(filters["label"])
        ]

    def add(self, name: str, *, labels: dict[str, str] | None = None, **more: Any) -> Thing:
        its_id = more.pop("id", f"id-of-{name}")
        thing = Thing(name=name, id=its_id, labels=LABELS if labels is None else labels, **more)
        self.things.append(thing)
        return thing


@dataclass(kw_only=True)
class Engine:
    """A Docker engine as the SDK's client shows it."""

    containers: Things = field(default_factory=Things)
    networks: Things = field(default_factory=Things)
    volumes: Things = field(default_factory=Things)

    def ping(self) -> bool:
        return True


@dataclass(kw_only=True)
class Place:
    """A project's folder, a CLI with a state, and a Docker engine."""

    home: Path
    docker: Engine

    @property
    def locks(self) -> Path:
        return self.home / "backend" / ".pulumi" / "locks" / "organization" / PROJECT / STACK

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.home / "state.json").read_text())
        return state

    def has(self, *resources: dict[str, object], pending: tuple[str, ...] = ()) -> None:
        """Write the state."""
        operations = [{"type": "creating", "resource": resource("t", name)} for name in pending]
        deployment = {
            "secrets_providers": {"type": "passphrase"},
            "resources": [
                resource("pulumi:providers:docker", "docker", inputs={"host": DOCKER_URL}),
                resource("command:local:Command", "state-id", outputs={"stdout": STATE_ID}),
                *resources,
            ],
            "pending_operations": operations,
        }
        text = json.dumps({"version": 3, "deployment": deployment})
        (self.home / "state.json").write_text(text)

    def lock(self, pid: int, *, host: str | None = None, age_s: float = 0) -> Path:
        """Write a lock as the CLI does, with the attributes beside it."""
        self.locks.mkdir(parents=True, exist_ok=True)
        path = self.locks / f"{pid}.json"
        fields = {"pid": pid, "username": "me", "hostname": host or socket.gethostname()}
        path.write_text(json.dumps(fields))
        path.with_name(f"{path.name}.attrs").write_text("{}")
        then = time.time() - age_s
        os.utime(path, (then, then))
        return path


def stand_up_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Make the folder the working directory, with the CLI on PATH and nothing left behind."""
    programs = home / "bin"
    programs.mkdir()
    cli = programs / "pulumi"
    cli.write_text(f"#!{sys.executable}\n{PULUMI.format(home=str(home))}")
    cli.chmod(cli.stat().st_mode | stat.S_IXUSR)
    (home / "Pulumi.yaml").write_text(f"name: {PROJECT}\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{home}/backend")
    monkeypatch.chdir(home)
    monkeypatch.setattr(recover_docker, "SETTLE_S", 0.01)
    place = Place(home=home, docker=Engine())
    engines = {DOCKER_URL: place.docker}
    monkeypatch.setattr(docker, "DockerClient", lambda base_url, **_: engines[base_url])
    place.has()
    return place


def dead_process() -> int:
    """The number of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def run_recovery(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    status = main(["--stack", STACK])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


Captured = pytest.CaptureFixture[str]
