"""A stack on the real Pulumi engine and the real Docker, driven by the command line."""

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

import docker
import yaml

from lifecycle.balancer_config import read_all
from lifecycle.member import gets_requests, members

ROOT = Path(__file__).parents[2]
PROJECT = "ovms-numa"

_NOT_LOOKED_AT = "not looked at: "
"""What a preview warns with of a host that it did not reach; all of that host is then the same."""


@cache
def engine_environment() -> Mapping[str, str]:
    """What ``eval "$(make -s env)"`` changes in a shell's environment."""
    shell = 'eval "$(python3 -m engine env)" && env -0'
    output = subprocess.run(["bash", "-c", shell], cwd=ROOT, check=True, capture_output=True).stdout
    told = dict(item.split("=", 1) for item in output.decode().split("\0") if item)
    return {name: value for name, value in told.items() if os.environ.get(name) != value}


@cache
def alone(name: str) -> IO[str]:
    """
    Keep other runs of the tests off the stack *name* until this one ends.

    Raises:
        AssertionError: another run has it.
    """
    lock = (Path(tempfile.gettempdir()) / f"ovms-numa-test-{name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AssertionError(
            f"another run of the tests has the stack {name} ({lock.name} is locked): "
            "let it end, then run this again"
        ) from None
    return lock


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step of an update: what was done to which resource."""

    op: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run of the command line."""

    status: int
    output: str
    steps: tuple[Step, ...] = ()

    def changed(self) -> list[Step]:
        """The steps that changed something, in order."""
        same = ("same", "read", "refresh")
        return [step for step in self.steps if step.op not in same]

    def names(self, *ops: str) -> list[str]:
        """The resources that any of *ops* was done to, in order."""
        return [step.name for step in self.steps if step.op in ops]


@dataclass(kw_only=True)
class Stack:
    """A stack with a state and a stack file of its own, outside the project."""

    name: str
    folder: Path
    settings: dict[str, Any]
    client: docker.DockerClient = field(default_factory=docker.from_env)
    enter: tuple[str, ...] = ()
    """The words that begin a command in the network where its Docker engine is."""
    as_made: bool = False
    """Whether the last run was a preview of the settings it was made with, which found nothing."""
    _changed: bool = False

    def __post_init__(self) -> None:
        alone(self.name)
        (self.folder / "state").mkdir(parents=True)
        # The salt of an empty passphrase, the one that Pulumi.dev.yaml carries.
        dev = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
        self._salt = dev["encryptionsalt"]
        self.configure({})
        self._pulumi("stack", "select", "--create", self.name)
        # The command line writes one beside the project's own, and takes no other place for it.
        (ROOT / f"Pulumi.{self.name}.yaml").unlink()

    @property
    def prefix(self) -> str:
        return f"{PROJECT}-{self.name}"

    def configure(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the stack file: the settings it was made with, with *changes* by section."""
        settings = {key: dict(value) for key, value in self.settings.items()}
        for section, values in changes.items():
            settings[section] = {**settings.get(section, {}), **values}
        self._changed, self.as_made = bool(changes), False
        text = {
            "encryptionsalt": self._salt,
            "config": {f"{PROJECT}:settings": settings},
        }
        (self.folder / "stack.yaml").write_text(yaml.safe_dump(text))

    def up(self, *arguments: str) -> Run:
        return self._operation("up", "--yes", "--skip-preview", *arguments)

    def preview(self, *arguments: str) -> Run:
        return self._operation("preview", *arguments)

    def all_open(self) -> bool:
        """Tell whether every instance in the balancer gets requests."""
        files = read_all(self.container("balancer"))
        return all(gets_requests(files, name) for name in members(files))

    def nothing_to_do(self) -> Run:
        """Preview, and check that all hosts were looked at and that none needs a change."""
        run = self.preview("--expect-no-changes")
        assert run.status == 0, run.output
        assert _NOT_LOOKED_AT not in run.output, run.output
        return run

    def destroy(self) -> Run:
        return self._operation("destroy", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, Any]:
        run = self._pulumi("stack", "output", "--json", "--stack", self.name)
        outputs: dict[str, Any] = json.loads(run.output)
        return outputs

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start ``pulumi ARGUMENTS`` and return at once."""
        return subprocess.Popen(
            [*self.enter, "pulumi", *arguments],
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def container(self, name: str) -> Any:
        return self.client.containers.get(f"{self.prefix}-{name}")

    def remains(self) -> list[str]:
        """What Docker holds of the stack: containers, networks, volumes and images."""
        label: dict[str, str | list[str] | bool] = {"label": f"ovms-numa.stack={self.name}"}
        found = [
            *(one.name for one in self.client.containers.list(all=True, filters=label)),
            *(one.name for one in self.client.networks.list(filters=label)),
            *(one.name for one in self.client.volumes.list(filters=label)),
            *(tag for image in self.client.images.list() for tag in image.tags),
        ]
        return [str(name) for name in found if str(name).startswith(self.prefix)]

    def clear(self) -> None:
        """Remove what `remains`: a killed run left it, and its state went with that run."""
        label: dict[str, str | list[str] | bool] = {"label": f"ovms-numa.stack={self.name}"}
        for container in self.client.containers.list(all=True, filters=label):
            container.remove(force=True)
        for network in self.client.networks.list(filters=label):
            network.remove()
        for volume in self.client.volumes.list(filters=label):
            volume.remove()
        for name in self.remains():
            self.client.images.remove(name)

    def _operation(self, operation: str, *arguments: str) -> Run:
        events = self.folder / "events.json"
        events.unlink(missing_ok=True)
        self.as_made = False
        run = self._pulumi(
            operation,
            *("--stack", self.name, "--config-file", str(self.folder / "stack.yaml")),
            *("--event-log", str(events), "--non-interactive", "--color", "never", *arguments),
        )
        expecting = operation == "preview" and "--expect-no-changes" in arguments
        unchanged = run.status == 0 and _NOT_LOOKED_AT not in run.output
        self.as_made = expecting and unchanged and not self._changed
        return Run(status=run.status, output=run.output, steps=_steps(events, operation))

    def _pulumi(self, *arguments: str) -> Run:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=900)
        return Run(status=process.returncode, output=output)

    def environment(self) -> dict[str, str]:
        """The variables that the command line is run with."""
        return {
            **os.environ,
            **engine_environment(),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            # Shows --event-log, which the order of steps is read from.
            "PULUMI_DEBUG_COMMANDS": "true",
        }


@contextmanager
def brought_up(stack: Stack) -> Iterator[Stack]:
    """
    Bring *stack* up for a benchmark, and take it down at the end.

    Raises:
        RuntimeError: it did not come up; says what the command line did.
    """
    stack.clear()
    try:
        made = stack.up()
        if made.status:
            raise RuntimeError(made.output)
        yield stack
    finally:
        stack.destroy()


def _steps(events: Path, operation: str) -> tuple[Step, ...]:
    """Read the steps: the planned ones of a preview, the finished ones of an update."""
    kind = "resourcePreEvent" if operation == "preview" else "resOutputsEvent"
    steps = []
    for line in events.read_text().splitlines() if events.is_file() else ():
        event = json.loads(line).get(kind)
        if event is not None:
            metadata = event["metadata"]
            steps.append(Step(metadata["op"], metadata["urn"].rsplit("::", 1)[1]))
    return tuple(steps)
