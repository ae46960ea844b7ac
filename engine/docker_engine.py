"""A Docker engine that answers: the one that runs, or Debian's, installed and started."""

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine import docker_ping
from engine.errors import EngineError
from engine.value import say

_LOG = Path("/var/log/ovms-numa-dockerd.log")
_PID = Path("/var/run/docker.pid")
_START_S = 60
_POLL_S = 0.5
_LAST_LINES = 15
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""A shell of root's may lack the sbin folders, where dockerd and iptables lie."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """
    What decides how a Docker engine is got here.

    Attributes:
        is_root: whether this process may install and start it.
        distribution: `ID` and `ID_LIKE` of os-release, such as {"ubuntu", "debian"}.
        init: the name of process 1.
        missing: those of dockerd and iptables that are not installed.
    """

    is_root: bool
    distribution: frozenset[str]
    init: str
    missing: tuple[str, ...]


Run = Callable[[Sequence[str]], None]


def ensure(environ: Mapping[str, str]) -> None:
    """
    See to it that a Docker engine answers at DOCKER_HOST, or at Docker's own socket.

    Raises:
        EngineError: none answers, and none can be started here.
    """
    address = environ.get("DOCKER_HOST") or docker_ping.DEFAULT
    if address.startswith("ssh://"):
        say(f"docker: {address} is reached over SSH by those who use it")
        return
    refusal = docker_ping.ping(address)
    if refusal is None:
        say(f"docker: the engine at {address} is used as it is")
        return
    if address != docker_ping.DEFAULT:
        raise EngineError(
            f"no Docker engine answers at DOCKER_HOST={address}: {refusal}. "
            "Start that one, or unset DOCKER_HOST to use this machine's"
        )
    if isinstance(refusal, PermissionError):
        raise EngineError(
            f"this user may not open {address}. Add it to the docker group (usermod -aG docker), "
            "log in again, or run as root"
        )
    bring_up(_this_machine(), run=_run)
    say(f"docker: the engine at {address} is up")


def bring_up(machine: Machine, *, run: Run) -> None:
    """
    Install what is missing, and start Docker.

    Raises:
        EngineError: this user or distribution is not one where that is known to work.
    """
    _refuse(machine)
    if machine.missing:
        _install(machine.missing, run)
    if machine.init == "systemd":
        run(("systemctl", "start", "docker"))
        _wait(None)
        return
    _wait(_start())


def _refuse(machine: Machine) -> None:
    if not machine.is_root:
        raise EngineError(
            "no Docker engine answers, and only root may start one. "
            "Start Docker, set DOCKER_HOST, or run this as root"
        )
    if machine.missing and not machine.distribution & {"debian", "ubuntu"}:
        named = ", ".join(sorted(machine.distribution)) or "an unknown distribution"
        raise EngineError(
            f"no Docker engine answers, and how to install one on {named} is not known here. "
            "Install Docker and start it, or set DOCKER_HOST"
        )


def _install(missing: tuple[str, ...], run: Run) -> None:
    packages = [{"dockerd": "docker.io"}.get(name, name) for name in missing]
    say(f"docker: installing {' and '.join(packages)}")
    run(("apt-get", "update", "-qq"))
    run(("apt-get", "install", "-qq", "-y", "--no-install-recommends", *packages))


def _this_machine() -> Machine:
    release = Path("/etc/os-release")
    fields = (
        dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
        if release.is_file()
        else {}
    )
    words = f"{fields.get('ID', '')} {fields.get('ID_LIKE', '')}".replace('"', "").split()
    programs = ("dockerd", "iptables")
    return Machine(
        is_root=os.geteuid() == 0,
        distribution=frozenset(words),
        init=Path("/proc/1/comm").read_text().strip(),
        missing=tuple(name for name in programs if not shutil.which(name, path=_SYSTEM_PATH)),
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": _SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"}


def _run(command: Sequence[str]) -> None:
    """Run a command; what it prints is shown only when it fails."""
    ended = subprocess.run(  # noqa: S603 - commands of this module
        command,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        last = (ended.stdout + ended.stderr).strip().splitlines()[-_LAST_LINES:]
        raise EngineError(
            f"`{' '.join(command)}` ended with {ended.returncode}. "
            "Mend what it says, and run this again:\n" + "\n".join(last)
        )


def _start() -> "subprocess.Popen[bytes]":
    """Start dockerd so that it outlives this process and its terminal."""
    say(f"docker: starting dockerd; log {_LOG}, process id in {_PID}")
    with _LOG.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - found on the system's own PATH
            ["dockerd", "--pidfile", str(_PID)],  # noqa: S607
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait(
    process: "subprocess.Popen[bytes] | None",
    *,
    address: str = docker_ping.DEFAULT,
    log: Path = _LOG,
    seconds: float = _START_S,
) -> None:
    """Return when the engine answers; give up when it has ended, or in time."""
    until = time.monotonic() + seconds
    while (refusal := docker_ping.ping(address)) is not None:
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > until:
            raise EngineError(_failure(process, refusal, log))
        time.sleep(_POLL_S)


def _failure(process: "subprocess.Popen[bytes] | None", refusal: OSError, log: Path) -> str:
    if process is None:
        return (
            f"systemd has started docker, but it does not answer: {refusal}. "
            "See `journalctl -u docker`, and run this again"
        )
    fate = f"ended with {process.returncode}" if process.poll() is not None else str(refusal)
    last = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
    return (
        f"dockerd does not answer: {fate}. Mend what the last lines of {log} say, "
        "and run this again:\n" + "\n".join(last)
    )
