"""
What a killed run leaves running: plugins of its engine, and actions that they started.

When the Pulumi CLI is killed, the actions under way are ended by their plugin at once, but the
plugins themselves stay (seen with CLI 3.259: docker, command and the language host), and the
docker one may finish what it was doing. Source: proc(5), ``/proc/PID/{stat,cwd,cmdline,environ}``.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lifecycle.errors import LifecycleError

_PROC = Path("/proc")
_ENGINE = "pulumi"
_PLUGINS = ("pulumi-resource-", "pulumi-language-")
_ACTIONS = ("-m lifecycle ", "-m images ")
_TERM_WAIT_S, _KILL_WAIT_S = 5, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as it was found; its start tells it from a later one of the same number."""

    pid: int
    started_ticks: int
    """Clock ticks from boot to its start."""
    argv: tuple[str, ...]

    def name(self) -> str:
        """Return what it is, in a few words."""
        words = " ".join((Path(self.argv[0]).name, *self.argv[1:]))
        return words if len(words) <= 80 else f"{words[:77]}..."

    def runs(self) -> bool:
        """Tell whether it is still there."""
        return _started_ticks(self.pid) == self.started_ticks


def orphans(project: str, folder: Path, backend_url: str | None) -> tuple[Process, ...]:
    """
    Return the plugins and actions of *project* whose engine is gone.

    A plugin does not know its stack, but one without an engine serves none: it is taken when it
    was started in *folder*, for *backend_url*, and no CLI is among its ancestors. This process
    and its ancestors are never among them.

    Args:
        project: the project's name, which the engine gives to its plugins.
        folder: the project's folder, the working directory of plugins and actions.
        backend_url: what `PULUMI_BACKEND_URL` is in this run, if anything.
    """
    found = (
        _process(pid)
        for pid in _pids()
        if _of_project(pid, project, folder, backend_url) and not _has_engine(pid)
    )
    own = {os.getpid(), *_ancestors(os.getpid())}
    return tuple(process for process in found if process and process.pid not in own)


def end(processes: tuple[Process, ...]) -> None:
    """
    End *processes* and wait until they are gone.

    Raises:
        LifecycleError: one does not go.
    """
    for number, wait_s in ((signal.SIGTERM, _TERM_WAIT_S), (signal.SIGKILL, _KILL_WAIT_S)):
        left = [process for process in processes if process.runs()]
        for process in left:
            _signal(process.pid, number)
        deadline = time.monotonic() + wait_s
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [process for process in left if process.runs()]
        if not left:
            return
    raise LifecycleError(
        subject=f"process {left[0].pid}",
        step="ending what a killed run left",
        seen=f"{left[0].name()} does not go",
        remedy=f"end it with `kill -KILL {left[0].pid}` as the user who runs it, then run this "
        "again",
    )


def started(pid: int) -> datetime | None:
    """Return when process *pid* was started, or none when there is none (or only its remains)."""
    ticks = _started_ticks(pid)
    if ticks is None:
        return None
    return datetime.fromtimestamp(_booted() + ticks / os.sysconf("SC_CLK_TCK"), UTC)


def command(pid: int) -> str:
    """Return the command line of *pid* in one line."""
    return " ".join(_words(pid, "cmdline")) or "of an unreadable command line"


def _started_ticks(pid: int) -> int | None:
    stat = _stat(pid)
    return None if stat is None or stat[0] in {"Z", "X"} else int(stat[19])


def _booted() -> float:
    """Return when this machine was booted, in whole seconds since the epoch."""
    text = (_PROC / "stat").read_text()
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("btime ")))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone meanwhile, or not ours: the wait tells


def _pids() -> Iterator[int]:
    return (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())


def _process(pid: int) -> Process | None:
    ticks, argv = _started_ticks(pid), tuple(_words(pid, "cmdline"))
    if ticks is None or not argv:
        return None
    return Process(pid=pid, started_ticks=ticks, argv=argv)


def _of_project(pid: int, project: str, folder: Path, backend_url: str | None) -> bool:
    try:
        cwd = (_PROC / str(pid) / "cwd").readlink()
    except OSError:
        return False
    words = _words(pid, "cmdline")
    if cwd != folder.resolve() or not words:
        return False
    environment = _environment(pid)
    if environment.get("PULUMI_BACKEND_URL") != backend_url:
        return False
    if any(Path(word).name.startswith(_PLUGINS) for word in words[:3]):
        return True
    action = any(words_of in f"{' '.join(words)} " for words_of in _ACTIONS)
    # A person's own `python -m lifecycle` has no engine either, but nor has it this variable,
    # which the engine gives to plugins and they to actions.
    return action and environment.get("PULUMI_PROJECT") == project


def _has_engine(pid: int) -> bool:
    return any(_comm(ancestor) == _ENGINE for ancestor in _ancestors(pid))


def _ancestors(pid: int) -> Iterator[int]:
    while (stat := _stat(pid)) is not None and (pid := int(stat[1])) > 0:
        yield pid


def _stat(pid: int) -> list[str] | None:
    """Return the fields of ``stat`` after the name, which may itself hold spaces: state first."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _comm(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _environment(pid: int) -> Mapping[str, str]:
    pairs = (word.partition("=") for word in _words(pid, "environ"))
    return {name: value for name, _, value in pairs}


def _words(pid: int, file: str) -> list[str]:
    try:
        text = (_PROC / str(pid) / file).read_bytes().decode(errors="replace")
    except OSError:
        return []
    return [word for word in text.split("\0") if word]
