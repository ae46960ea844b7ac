"""
The locks of a stack whose state lies in files.

The Pulumi CLI writes one JSON file a run, with the process that holds it, and removes it at the
end (pkg/backend/diy/lock.go). It never looks whether the process still lives.
"""

import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lifecycle import recover_processes
from lifecycle.errors import LifecycleError
from lifecycle.recover_files import ATTRIBUTES

_CLOCKS = timedelta(seconds=2)
"""How far the time in a lock and the start of its process may be apart by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A lock file, and the process that wrote it."""

    path: Path
    pid: int
    user: str
    host: str
    since: datetime

    def dead(self) -> bool:
        """Tell whether its process is gone; a younger one of the same number is another one."""
        started = recover_processes.started(self.pid)
        return started is None or started > self.since + _CLOCKS

    def remove(self) -> None:
        """Remove the file and its attributes."""
        for path in (self.path, self.path.with_name(self.path.name + ATTRIBUTES)):
            path.unlink(missing_ok=True)


def read_locks(folder: Path) -> tuple[Lock, ...]:
    """Return the locks in *folder*, oldest first; those being removed meanwhile are left out."""
    locks = (_read(path) for path in folder.glob("*.json"))
    return tuple(sorted((lock for lock in locks if lock), key=lambda lock: lock.since))


def _read(path: Path) -> Lock | None:
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        # A run that was killed while it wrote its lock; nobody can be asked whose it is.
        fields = {}
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Lock(
        path=path,
        pid=int(fields.get("pid", 0)),
        user=str(fields.get("username", "?")),
        host=str(fields.get("hostname", "?")),
        since=written,
    )


def dead_locks(folder: Path, stack: str) -> tuple[Lock, ...]:
    """
    Return the locks in *folder*, all of which are held by processes that are gone.

    Raises:
        LifecycleError: one is held by a process that lives, or by one of another host.
    """
    locks = read_locks(folder)
    for lock in locks:
        if lock.host != socket.gethostname():
            raise _refused(
                stack,
                f"process {lock.pid} of {lock.user} on the host {lock.host} holds its lock since "
                f"{_when(lock)}, and this host ({socket.gethostname()}) cannot tell whether it "
                "still runs",
                f"run `make recover STACK={stack}` on {lock.host}; if that process is surely "
                f"gone, run `pulumi cancel --stack {stack}` and then this again",
            )
        if not lock.dead():
            raise _refused(
                stack,
                f"process {lock.pid} of {lock.user} ({recover_processes.command(lock.pid)}) holds "
                f"its lock since {_when(lock)} and still runs",
                f"wait until it ends, or end it with `kill -INT {lock.pid}`; then run this again "
                "if it left something behind",
            )
    return locks


def _refused(stack: str, seen: str, remedy: str) -> LifecycleError:
    return LifecycleError(subject=stack, step="recovering it", seen=seen, remedy=remedy)


def _when(lock: Lock) -> str:
    return lock.since.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def held(folder: Path, stack: str) -> Iterator[None]:
    """
    Hold a lock of our own, so that no run of the CLI begins meanwhile.

    Raises:
        LifecycleError: a run began first.
    """
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    own = Lock(
        path=folder / f"{uuid.uuid4()}.json",
        pid=os.getpid(),
        user=getpass.getuser(),
        host=socket.gethostname(),
        since=now,
    )
    text = {
        "pid": own.pid,
        "username": own.user,
        "hostname": own.host,
        "timestamp": now.isoformat().replace("+00:00", "Z"),
    }
    # In one step: a run that looks meanwhile must not meet half a file.
    fresh = own.path.with_suffix(".new")
    fresh.write_text(json.dumps(text))
    fresh.replace(own.path)
    try:
        for other in read_locks(folder):
            if other.path != own.path:
                raise _refused(
                    stack,
                    f"process {other.pid} on {other.host} began a run meanwhile",
                    "wait until it ends, then run this again if it left something behind",
                )
        yield
    finally:
        own.remove()
