"""Kills a run of the Pulumi CLI at a chosen point, recovers, and says what is left."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle import recover_processes
from tests.engine.stack import PROJECT, ROOT, Stack, engine_environment

_POLL_S = 0.01
_REACH_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a run is killed: at the first event that all given patterns match."""

    words: str
    begins: str = ""
    """Pattern of an engine step that begins, ``OPERATION RESOURCE``, as in ``create balancer``."""
    says: str = ""
    """Pattern of a message of an action, as in ``local-node0-0: starting``."""
    docker: str = ""
    """Pattern of something Docker did, ``TYPE ACTION NAME``, as in ``container create NAME``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A finished run of the recovery."""

    status: int
    output: str
    seconds: float

    def lines(self) -> list[str]:
        """What it did, without the stack's name before it."""
        return [line.partition(": ")[2] for line in self.output.splitlines()]


def environment(stack: Stack) -> dict[str, str]:
    """The environment of a shell that works on *stack*."""
    return {
        **os.environ,
        **engine_environment(),
        "PULUMI_BACKEND_URL": f"file://{stack.folder / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "",
    }


def kill_at(stack: Stack, point: Point, operation: str = "up") -> None:
    """Start *operation* and kill the CLI, and nothing but it, when it reaches *point*."""
    log = stack.folder / "killed-events.json"
    log.unlink(missing_ok=True)
    events = _Events(log)
    reached = threading.Event()
    watcher = threading.Thread(target=_watch_docker, args=(stack, point, reached), daemon=True)
    watcher.start()
    process = stack.start(
        operation, "--yes", "--skip-preview", "--stack", stack.name, "--non-interactive",
        "--config-file", str(stack.folder / "stack.yaml"), "--event-log", str(log),
    )  # fmt: skip
    output: list[str] = []
    reader = threading.Thread(target=_read, args=(process, output), daemon=True)
    reader.start()
    deadline = time.monotonic() + _REACH_S
    while not (reached.is_set() or events.reached(point)):
        assert process.poll() is None, f"it ended before {point.words}: {''.join(output)}"
        assert time.monotonic() < deadline, f"it did not get to {point.words}: {''.join(output)}"
        time.sleep(_POLL_S)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    reached.set()


def _read(process: "subprocess.Popen[str]", output: list[str]) -> None:
    # Open until the recovery has ended the plugins, which hold the other end too.
    assert process.stdout is not None
    with process.stdout as lines:
        output.extend(lines)


class _Events:
    """The engine's events, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def reached(self, point: Point) -> bool:
        if not self._path.is_file():
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return any(_is_at(point, json.loads(line)) for line in whole.splitlines())


def _is_at(point: Point, event: Mapping[str, Any]) -> bool:
    begun = event.get("resourcePreEvent", {}).get("metadata")
    if begun:
        return _matches(point.begins, f"{begun['op']} {begun['urn'].rpartition('::')[2]}")
    return _matches(point.says, str(event.get("diagnosticEvent", {}).get("message", "")).strip())


def _matches(pattern: str, text: str) -> bool:
    return bool(pattern) and re.fullmatch(pattern, text) is not None


def _watch_docker(stack: Stack, point: Point, reached: threading.Event) -> None:
    if not point.docker:
        return
    for event in stack.client.events(decode=True, since=int(time.time())):
        name = event["Actor"].get("Attributes", {}).get("name") or event["Actor"]["ID"]
        happened = f"{event['Type']} {event['Action']} {name}"
        if reached.is_set():
            return
        if _of_stack(event, stack) and _matches(point.docker, happened):
            reached.set()
            return


def _of_stack(event: Mapping[str, Any], stack: Stack) -> bool:
    """Containers carry their labels in their events; networks and volumes only their names."""
    attributes = event["Actor"].get("Attributes", {})
    name = str(attributes.get("name") or event["Actor"]["ID"])
    return attributes.get("ovms-numa.stack") == stack.name or name.startswith(stack.prefix)


def recover(stack: Stack) -> Recovery:
    """Run the recovery of *stack* as ``make recover`` does."""
    begun = time.monotonic()
    run = subprocess.run(
        ["venv/bin/python", "-m", "lifecycle.recover", "--stack", stack.name],
        cwd=ROOT,
        env=environment(stack),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_REACH_S,
    )
    return Recovery(status=run.returncode, output=run.stdout, seconds=time.monotonic() - begun)


def left_behind(stack: Stack) -> list[str]:
    """Locks, pending operations and processes that a killed run of *stack* left."""
    deployment = exported(stack)["deployment"]
    backend = f"file://{stack.folder / 'state'}"
    return [
        *(f"lock {path.name}" for path in _locks(stack)),
        *(f"pending {one['type']}" for one in deployment.get("pending_operations") or []),
        *(one.name() for one in recover_processes.orphans(PROJECT, ROOT, backend)),
        *(f"unknown {name}" for name in _unknown(stack, deployment)),
    ]


def exported(stack: Stack) -> dict[str, Any]:
    """The state of *stack* as the CLI exports it."""
    output = subprocess.run(
        ["pulumi", "stack", "export", "--stack", stack.name],
        cwd=ROOT,
        env=environment(stack),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    state: dict[str, Any] = json.loads(output)
    return state


def _locks(stack: Stack) -> list[Path]:
    return list((stack.folder / "state" / ".pulumi" / "locks").rglob("*.json"))


def _unknown(stack: Stack, deployment: Mapping[str, Any]) -> Iterator[str]:
    """What Docker holds of the stack and the state does not."""
    known = {one.get("id") for one in deployment.get("resources") or []}
    label: dict[str, str | list[str] | bool] = {"label": f"ovms-numa.stack={stack.name}"}
    things = [
        *((one.id, one.name) for one in stack.client.containers.list(all=True, filters=label)),
        *((one.id, one.name) for one in stack.client.networks.list(filters=label)),
        *((one.id, one.name) for one in stack.client.volumes.list(filters=label)),
    ]
    return (str(name) for its_id, name in things if its_id not in known)


def members(stack: Stack) -> dict[str, str]:
    """The line of each instance in the balancer that now runs."""
    script = "cd /etc/ovms-numa/current/members && grep -H ^server *.conf"
    output = stack.container("balancer").exec_run(["sh", "-c", script]).output.decode()
    pairs = (line.split(":", 1) for line in output.splitlines())
    return {name.removesuffix(".conf"): line for name, line in pairs}
