"""A stack on this machine as faults strike it: its processes, its servers, what Docker says."""

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from images.devserver.devserver.faults import DEADLY
from tests.engine.balancer_log import wall_time
from tests.engine.stack import Stack
from tests.engine.test_up import MODEL

SOCKETS = ("docker.sock", "containerd.sock")
"""What a path of a mount may not end with: who has that socket has the host."""

_ENDS_WITHIN_S = 60.0
_LOOK_S = 0.002
_ENDED = ("Z", "X", "")
_EXITING = 0x4
"""PF_EXITING of the kernel's include/linux/sched.h: set before a process loses its connections."""

_FOLDERS = ("/", "/run", "/run/containerd", "/var", "/var/run")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a container, by its number on this machine."""

    pid: int
    parent: int
    command: str


class Site:
    """
    A stack that faults strike.

    Attributes:
        stack: which.
        servers: its instances, each with the address and port that the balancer knows it by.
        endpoint: where clients ask it.
    """

    def __init__(self, stack: Stack) -> None:
        """Look at *stack*, which is up."""
        outputs = stack.outputs()
        self.stack = stack
        self.servers: dict[str, tuple[str, int]] = {
            row["instance"]: (row["address"], row["port"]) for row in outputs["plan"]
        }
        self.endpoint = str(outputs["endpoint"])
        self._stopped: list[int] = []

    def upstream(self, instance: str) -> str:
        """Return ADDRESS:PORT of *instance*, as Nginx logs it."""
        return "{}:{}".format(*self.servers[instance])

    def server(self, instance: str) -> int:
        """Return the number of the server's process in *instance*."""
        container = self.stack.container(instance)
        first = int(container.attrs["State"]["Pid"])
        if not container.attrs["HostConfig"]["Init"]:
            return first
        return next(one.pid for one in _processes(container) if one.parent == first)

    def balancer(self, words: str) -> list[int]:
        """Return the processes of the balancer whose command has *words*, the oldest first."""
        found = _processes(self.stack.container("balancer"))
        return sorted(one.pid for one in found if words in one.command)

    def kill(self, pid: int) -> float:
        """Kill a process, and return when that was."""
        at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        return at

    def until_ended(self, *pids: int) -> float:
        """
        Wait until one of *pids* has no memory and no connection any more, and return when.

        Raises:
            TimeoutError: all still have.
        """
        return _until(
            lambda: any(_state(pid) in _ENDED for pid in pids), f"no process of {list(pids)} ended"
        )

    def stop(self, instance: str) -> float:
        """Stop the server of *instance*, and what it has begun, as a hang does; return when."""
        server = self.server(instance)
        parents = {one.pid: one.parent for one in _processes(self.stack.container(instance))}
        begun = [server]
        for pid in begun:
            begun += [child for child, parent in parents.items() if parent == pid]
        self._stopped += begun
        at = time.monotonic()
        for pid in self._stopped:
            os.kill(pid, signal.SIGSTOP)
        return at

    def until_one_ends(self, pids: Sequence[int]) -> float:
        """
        Wait until one of *pids* begins to end, and return when that was.

        Raises:
            TimeoutError: none did.
        """
        return _until(
            lambda: not all(map(_goes_on, pids)), f"no process of {list(pids)} began to end"
        )

    def go_on(self) -> None:
        """Let the stopped processes that are left go on."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped.clear()

    def ask_for(self, instance: str, fault: str) -> float:
        """Have the server of *instance* go wrong, and return when that was."""
        address, port = self.servers[instance]
        connection = http.client.HTTPConnection(address, port, timeout=20)
        at = time.monotonic()
        # A server that resets its connections resets this one too.
        with suppress(ConnectionError, http.client.HTTPException):
            connection.request("POST", f"/faults/{fault}")
            answer = connection.getresponse()
            if answer.status != 202:
                raise RuntimeError(f"{instance} has no fault {fault}: status {answer.status}")
        connection.close()
        return at

    def send_deadly(self) -> str:
        """Send the request that kills whoever serves it, and say what its client gets."""
        url = urlsplit(self.endpoint)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=120)
        message = {"role": "user", "content": DEADLY}
        body = json.dumps({"model": MODEL, "max_tokens": 4, "messages": [message]})
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"{url.path}/chat/completions", body, headers)
            return f"status {connection.getresponse().status}"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def loaded(self, instance: str, since: float) -> float | None:
        """Return when a model of *instance* was first loaded after *since*, of the wall clock."""
        container = self.stack.container(instance)
        log = container.logs(timestamps=True, since=int(since)).decode(errors="replace")
        lines = [line for line in log.splitlines() if "AVAILABLE after" in line]
        times = [at for line in lines if (at := wall_time(line.partition(" ")[0])) is not None]
        return min((at for at in times if at > since), default=None)

    def sockets(self) -> list[str]:
        """Return the mounts of the stack's containers that are Docker's socket, or hold it."""
        label: dict[str, str | list[str] | bool] = {"label": f"ovms-numa.stack={self.stack.name}"}
        containers = self.stack.client.containers.list(all=True, filters=label)
        return [
            f"{container.name}: {mount.get('Source')}"
            for container in containers
            for mount in container.attrs["Mounts"]
            if is_socket(mount)
        ]


def is_socket(mount: Mapping[str, Any]) -> bool:
    """Tell whether a mount is Docker's socket or a folder that has it."""
    source = str(mount.get("Source", ""))
    return source.endswith(SOCKETS) or source in _FOLDERS


def _until(condition: Callable[[], bool], otherwise: str) -> float:
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline:
        if condition():
            return time.monotonic()
        time.sleep(_LOOK_S)
    raise TimeoutError(f"{otherwise} within {_ENDS_WITHIN_S:g} s")


def _goes_on(pid: int) -> bool:
    """Tell whether a process is there and does not end yet; proc_pid_stat(5), field 9."""
    fields = _stat(pid)
    return bool(fields) and not int(fields[6]) & _EXITING


def _state(pid: int) -> str:
    """Return the state of a process, field 3; empty: it is not there."""
    return "".join(_stat(pid)[:1])


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from the third on; none: it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _processes(container: Any) -> Iterator[Process]:
    top = container.top()
    titles = [title.upper() for title in top["Titles"]]
    pid, parent, command = (titles.index(name) for name in ("PID", "PPID", "CMD"))
    for row in top["Processes"]:
        yield Process(int(row[pid]), int(row[parent]), row[command])
