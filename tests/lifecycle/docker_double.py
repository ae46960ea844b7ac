"""
A Docker engine at the edge of the SDK.

Calls are written down in order, and containers have state, and handles to them that are as stale
as the SDK's. Commands inside a container are run for real, by this machine's shell, on folders
that stand for parts of the container's file system.
"""

import copy
import fnmatch
import io
import os
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import requests
from docker.errors import APIError, NotFound
from docker.models.containers import Container

UNLESS_STOPPED = {"Name": "unless-stopped", "MaximumRetryCount": 0}


@dataclass(kw_only=True)
class Machine:
    """What the engine knows of one container."""

    name: str
    calls: list[str]
    # Folders of this machine by the path that they stand for.
    mounts: dict[str, Path]
    # Programs that only the container's image has.
    programs: Path | None = None
    user: str = "0:0"
    status: str = "running"
    exit_code: int = 0
    out_of_memory: bool = False
    policy: dict[str, Any] = field(default_factory=lambda: dict(UNLESS_STOPPED))
    cpus: str = ""
    memory_nodes: str = ""
    memory_limit: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    log: str = ""
    on_start: Callable[[], None] = lambda: None
    # What the engine answers instead of doing a call that begins with these words.
    refusals: dict[str, Exception] = field(default_factory=dict)
    # Owner and mode of what was copied in, by path.
    copied: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def attrs(self) -> dict[str, Any]:
        return {
            "Name": f"/{self.name}",
            "Image": "sha256:1234",
            "Config": {"User": self.user, "Labels": self.labels},
            "HostConfig": {
                "RestartPolicy": copy.deepcopy(self.policy),
                "CpusetCpus": self.cpus,
                "CpusetMems": self.memory_nodes,
                "Memory": self.memory_limit,
            },
            "State": {
                "Status": self.status,
                "ExitCode": self.exit_code,
                "OOMKilled": self.out_of_memory,
            },
        }

    def local(self, path: str) -> Path:
        """Where *path* of the container is on this machine."""
        for mount, folder in self.mounts.items():
            if path.startswith(mount):
                return folder / path[len(mount) :].lstrip("/")
        raise AssertionError(f"{path} is not a part of the container that the test stands up")


class _Handle:
    """What the SDK gives for a container: as it was when asked, until reloaded."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.attrs = machine.attrs()

    @property
    def name(self) -> str:
        return self._machine.name

    @property
    def status(self) -> str:
        return str(self.attrs["State"]["Status"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.attrs["Config"]["Labels"])

    def reload(self) -> None:
        self.attrs = self._machine.attrs()

    def start(self) -> None:
        self._note("start")
        self._machine.status = "running"
        self._machine.on_start()

    def stop(self, *, timeout: int) -> None:
        self._note(f"stop within {timeout} s")
        self._machine.status = "exited"

    def update(
        self,
        *,
        cpuset_cpus: str | None = None,
        cpuset_mems: str | None = None,
        restart_policy: dict[str, Any] | None = None,
    ) -> None:
        parts = [f"restart {restart_policy['Name']}"] if restart_policy else []
        parts += [f"CPUs {cpuset_cpus}"] if cpuset_cpus is not None else []
        parts += [f"memory {cpuset_mems}"] if cpuset_mems is not None else []
        self._note(f"update {', '.join(parts)}")
        self._machine.policy = restart_policy or self._machine.policy
        self._machine.cpus = cpuset_cpus or self._machine.cpus
        self._machine.memory_nodes = cpuset_mems or self._machine.memory_nodes

    def wait(self, *, timeout: int) -> dict[str, int]:
        self._note(f"wait {timeout} s")
        return {"StatusCode": self._machine.exit_code}

    def remove(self, *, force: bool) -> None:
        self._note("remove by force" if force else "remove")

    def logs(self, *, tail: int | str = "all", stderr: bool = True, since: int = 1) -> bytes:
        self._refuse("logs")
        if since > 1:
            self._note(f"logs since {since}")
        lines = self._machine.log.splitlines(keepends=True)
        if not stderr:
            lines = [line for line in lines if line.startswith("{")]
        return "".join(lines if isinstance(tail, str) else lines[-tail:]).encode()

    def put_archive(self, parent: str, archive: bytes) -> bool:
        self._note("copy in")
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for entry in tar:
                path = f"{parent.rstrip('/')}/{entry.name}"
                self._machine.copied[path] = (entry.uid, entry.gid, entry.mode)
                content = tar.extractfile(entry)
                if content is None:
                    self._machine.local(path).mkdir(exist_ok=True)
                else:
                    self._machine.local(path).write_bytes(content.read())
        return True

    def get_archive(self, path: str) -> tuple[Iterator[bytes], dict[str, object]]:
        local = self._machine.local(path)
        if not local.exists():
            raise NotFound(f"404 Client Error: Could not find the file {path}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            tar.add(local, arcname=Path(path).name)
        whole = buffer.getvalue()
        return iter((whole[:1000], whole[1000:])), {}

    @property
    def id(self) -> str:
        return f"id of {self._machine.name}"

    @property
    def client(self) -> SimpleNamespace:
        return SimpleNamespace(api=_Commands(self))

    def execute(self, argv: list[str]) -> tuple[int, bytes, bytes]:
        self._refuse("exec")
        if self._machine.status != "running":
            raise refusal(f"container {self._machine.name} is not running", 409)
        local = [self._inwards(part) for part in argv]
        environment = {"PATH": f"{self._machine.programs}:{os.environ['PATH']}", "LC_ALL": "C"}
        done = subprocess.run(local, env=environment, capture_output=True, check=False)
        return done.returncode, self._outwards(done.stdout), self._outwards(done.stderr)

    def _inwards(self, text: str) -> str:
        for mount, folder in self._machine.mounts.items():
            text = text.replace(mount, str(folder))
        return text

    def _outwards(self, output: bytes) -> bytes:
        text = output.decode()
        for mount, folder in self._machine.mounts.items():
            text = text.replace(str(folder), mount)
        return text.encode()

    def _note(self, call: str) -> None:
        self._machine.calls.append(f"{self._machine.name}: {call}")
        self._refuse(call)

    def _refuse(self, call: str) -> None:
        for words, refused in self._machine.refusals.items():
            if call.startswith(words):
                raise refused


class _Commands:
    """The part of the SDK's API that runs a command; it is run when it is made."""

    base_url, api_version = "http+docker://localhost", "1.41"

    def __init__(self, container: Any) -> None:
        self._container = container

    def exec_create(self, container: str, argv: list[str]) -> dict[str, str]:
        assert container == self._container.id
        self._status, *self._streams = self._container.execute(argv)
        return {"Id": "e1"}

    def post(self, url: str, *, json: dict[str, bool], timeout: float) -> SimpleNamespace:
        assert url.endswith("/v1.41/exec/e1/start")
        assert json == {"Detach": False, "Tty": False}
        assert timeout > 0
        frames = [
            struct.pack(">BxxxI", number, len(part)) + part
            for number, text in enumerate(self._streams, start=1)
            for part in (text[:100], text[100:])
        ]
        return SimpleNamespace(content=b"".join(frames), raise_for_status=lambda: None)

    def exec_inspect(self, command: str) -> dict[str, int]:
        assert command == "e1"
        return {"ExitCode": self._status}


@dataclass(frozen=True, slots=True)
class Volume:
    """What the SDK gives for a volume."""

    attrs: dict[str, Any]


@dataclass(kw_only=True)
class Volumes:
    """The volumes of an engine: their labels by name."""

    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    def get(self, name: str) -> Volume:
        if name not in self.labels:
            raise NotFound(f"404 Client Error: get {name}: no such volume")
        # Docker has null for none.
        return Volume({"Name": name, "Labels": self.labels[name] or None})


@dataclass(kw_only=True)
class Engine:
    """The engine of one host."""

    machines: dict[str, Machine] = field(default_factory=dict)
    volumes: Volumes = field(default_factory=Volumes)
    # The settings of each container that was created here.
    created: list[dict[str, Any]] = field(default_factory=list)
    helper: Callable[[dict[str, Any]], Machine] | None = None
    # The engine's `SecurityOptions`; old engines have none.
    security: "list[str] | None" = None
    # The folder of its images and volumes; one that this machine has not: it is another's.
    root: str = "/nowhere/docker"

    @property
    def client(self) -> docker.DockerClient:
        return cast(docker.DockerClient, self)

    @property
    def containers(self) -> "Engine":
        return self

    def container(self, name: str) -> Container:
        return as_container(self.machines[name])

    def ping(self) -> bool:
        return True

    def info(self) -> dict[str, Any]:
        return {"SecurityOptions": self.security, "DockerRootDir": self.root}

    def get(self, name: str) -> Container:
        if name not in self.machines:
            raise NotFound(f"404 Client Error: No such container: {name}")
        return self.container(name)

    def create(self, image: str, command: list[str], **settings: Any) -> Container:
        assert self.helper is not None, "nothing may be created here"
        self.created.append({"image": image, "command": command, **settings})
        return as_container(self.helper(settings))

    def list(self, *, filters: dict[str, Any], **how: bool) -> list[Container]:
        """List containers in any state, by labels with or without a value."""
        assert how == {"all": True, "ignore_removed": True}
        wanted = [label.partition("=") for label in filters["label"]]
        return [
            as_container(machine)
            for machine in self.machines.values()
            if all(
                fnmatch.fnmatchcase(machine.labels.get(key, ""), value or "?*")
                for key, _, value in wanted
            )
        ]


def as_container(machine: Machine) -> Container:
    return cast(Container, _Handle(machine))


def refusal(explanation: str, status: int = 500) -> APIError:
    """What the SDK raises where the engine refuses a call."""
    response = requests.Response()
    response.status_code = status
    return APIError(f"{status} Server Error", response=response, explanation=explanation)
