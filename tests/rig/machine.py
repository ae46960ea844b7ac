"""Start the emulated host, wait until it can be used, and end it."""

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TextIO

from images.commands import run as tool
from images.commands import say
from tests.rig import made
from tests.rig.errors import RigError
from tests.rig.place import CLIENT_REMEDY, Place, Running
from tests.rig.topologies import TOPOLOGIES

SSH_PORT: Final = 12022
PORTS: Final = (18120,)
"""Of the balancer that Pulumi.rig.yaml describes."""

# Measured 28-45 s alone on two cores and 100 s beside other work; one boot of twelve hung for ever.
_READY_S: Final = 240
_ATTEMPTS: Final = 3
_MONITOR_S: Final = 10
_NONE_YET: Final = 0
"""The number of no process."""
_DISK_REMEDY: Final = "See that there is space on the disk, then run it again."
# A lost timer stops a CPU for ever only where each tick sets the next one.
_KERNEL: Final = (
    "root=/dev/vda rw rootflags=noinit_itable console=ttyS0 net.ifnames=0 mitigations=off "
    "apparmor=0 quiet nohz=off highres=off"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What is to be started.

    Attributes:
        topology: its name.
        disk: the disk below what the guest writes: raw, or qcow2 with one below it.
        extra: a third disk, only read.
        ssh_port: of this machine's loopback, for the guest's sshd.
        ports: further ports that are forwarded, the same here and there.
        address: of this machine, on which those listen.
    """

    topology: str
    disk: Path
    extra: Path | None = None
    ssh_port: int = SSH_PORT
    ports: tuple[int, ...] = PORTS
    address: str = "127.0.0.1"


def start(place: Place, plan: Plan) -> Running:
    """
    Start a rig, and wait for its sshd and its Docker engine.

    Raises:
        RigError: one runs here already, or it was not ready in time, at no attempt.
        StageError: what it is made of could not be had, or a tool of this machine failed.
    """
    if (running := place.read()) is not None and is_alive(place, running.pid):
        raise RigError(
            f"a rig ({running.topology}) runs already, as process {running.pid}. "
            "End it with `make rig-down`"
        )
    place.make_keys(plan.ssh_port)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            running = _launch(place, plan)
            if wait_until_ready(place, running):
                _take_offline(place, running)
                return running
        except BaseException:
            # An interrupt too: nobody else would know that it runs.
            stop(place)
            raise
        say(f"rig: not ready after {_READY_S} s, attempt {attempt} of {_ATTEMPTS}")
        stop(place)
    raise RigError(
        f"the rig ({plan.topology}) was not ready within {_READY_S} s, {_ATTEMPTS} times. "
        f"See what {place.console} ends with; it needs two idle CPUs and 4 GiB of memory"
    )


def free_port() -> int:
    """Return a port of this machine's loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def reset(place: Place) -> None:
    """
    Begin the boot anew, as the switch of a real machine does; what was written stays.

    Raises:
        RigError: the emulator does not take orders.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_MONITOR_S)
            connection.connect(str(place.monitor))
            with connection.makefile("rw") as monitor:
                # Commands are taken once these two were exchanged.
                monitor.readline()
                _order(monitor, "qmp_capabilities")
                _order(monitor, "system_reset")
    except (OSError, ValueError) as error:
        raise RigError(f"QEMU takes no orders at {place.monitor}: {error}") from None


def _order(monitor: TextIO, command: str) -> None:
    """
    Have QEMU do *command*; events come between it and the answer.

    Source: the QEMU Machine Protocol Specification.
    """
    monitor.write(json.dumps({"execute": command}) + "\n")
    monitor.flush()
    for line in monitor:
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"]["desc"])
        if "return" in answer:
            return
    raise ValueError(f"it ended the connection before it answered to {command}")


def power_off(place: Place, running: Running) -> None:
    """
    Shut the guest down as an operator does, so that all that it wrote is on its disk.

    Raises:
        RigError: it did not end in time.
    """
    # Detached, so that sshd can still say that it was started.
    run(place, running, "(sleep 1; systemctl poweroff) >/dev/null 2>&1 &", administrator=True)
    end = time.monotonic() + _READY_S
    while is_alive(place, running.pid):
        if time.monotonic() > end:
            raise RigError(f"the guest did not shut down within {_READY_S} s")
        time.sleep(0.2)


def stop(place: Place) -> None:
    """End the rig that was started in *place*, and forget what it wrote."""
    running = place.read()
    if running is None:
        return
    # Not by SIGTERM, on which the agent removes its socket: the next one's, where it is late.
    for pid, named in ((running.agent_pid, place.agent), (running.pid, place.disk)):
        if _is_running(pid, named):
            os.kill(pid, signal.SIGKILL)
            while _is_running(pid, named):
                time.sleep(0.05)
    for path in (place.disk, place.agent):
        path.unlink(missing_ok=True)
    place.write(None)


def is_alive(place: Place, pid: int) -> bool:
    """Say whether process *pid* is the QEMU of *place*."""
    return _is_running(pid, place.disk)


def _is_running(pid: int, named: Path) -> bool:
    """Say whether *pid* is a process with *named* in its words; numbers are used again."""
    try:
        return str(named) in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def run(
    place: Place,
    running: Running,
    command: str,
    *,
    administrator: bool = False,
    timeout_s: float = 60,
) -> str:
    """
    Run *command* in a shell of the guest and return what it printed.

    Raises:
        RigError: it failed, or took longer than *timeout_s*.
    """
    words = [*place.words(running, administrator=administrator), command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise RigError(f"`{command}` took longer than {timeout_s} s on the rig") from None
    if done.returncode:
        raise RigError(f"`{command}` ended with {done.returncode} on the rig: {done.stderr}")
    return done.stdout


def _launch(place: Place, plan: Plan) -> Running:
    # The agent first, and each as soon as it runs: `stop` ends what is recorded.
    running = Running(
        pid=_NONE_YET,
        agent_pid=_start_agent(place),
        topology=plan.topology,
        ssh_port=plan.ssh_port,
        ports=plan.ports,
    )
    place.write(running)
    env = {"SSH_AUTH_SOCK": str(place.agent)}
    tool(["ssh-add", "-q", place.identity], env=env, remedy=CLIENT_REMEDY)
    running = replace(running, pid=_start_emulator(place, plan))
    place.write(running)
    return running


def _start_emulator(place: Place, plan: Plan) -> int:
    """Start QEMU above a new disk; return its number when it has its ports and its memory."""
    emulator, guest = made.emulator(), made.guest()
    place.disk.unlink(missing_ok=True)
    form = "raw" if plan.disk == guest.disk else "qcow2"
    overlay = ["create", "-q", "-f", "qcow2", "-F", form, "-b", str(plan.disk), str(place.disk)]
    tool([*emulator.command("qemu-img"), *overlay], remedy=_DISK_REMEDY)
    words = [
        *emulator.command("qemu-system-x86_64"), *emulator.firmware,
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-nodefaults",
        "-display", "none", *TOPOLOGIES[plan.topology].options(),
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", _KERNEL,
        "-serial", f"file:{place.console}",
        "-qmp", f"unix:{place.monitor},server=on,wait=off", *_devices(place, plan),
    ]  # fmt: skip
    pid_file = place.folder / "pid"
    words += ["-daemonize", "-pidfile", str(pid_file)]
    done = subprocess.run(
        words, env=emulator.environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RigError(
            f"QEMU did not start: {done.stderr.strip()}. See that its ports are free, and that "
            "there are 8 GiB of memory"
        )
    return int(pid_file.read_text())


def _devices(place: Place, plan: Plan) -> list[str]:
    """Return QEMU's options for disks and network."""
    drives = [f"file={place.disk},format=qcow2,cache=unsafe"]
    read = [place.keys] if plan.extra is None else [place.keys, plan.extra]
    drives += [f"file={path},format=raw,readonly=on" for path in read]
    words = []
    for number, drive in enumerate(drives):
        words += ["-drive", f"if=none,id=d{number},{drive}"]
        words += ["-device", f"virtio-blk-pci,drive=d{number}"]
    forwards = [f"hostfwd=tcp:127.0.0.1:{plan.ssh_port}-:22"]
    forwards += [f"hostfwd=tcp:{plan.address}:{port}-:{port}" for port in plan.ports]
    words += ["-netdev", ",".join(["user", "id=net", "restrict=on", *forwards])]
    return [*words, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"]


def _start_agent(place: Place) -> int:
    """Start an agent for the user's key, for clients that no identity can be named to."""
    place.agent.unlink(missing_ok=True)
    told = tool(["ssh-agent", "-s", "-a", place.agent], remedy=CLIENT_REMEDY)
    return int(told.partition("SSH_AGENT_PID=")[2].partition(";")[0])


def wait_until_ready(place: Place, running: Running) -> bool:
    """Wait until the user can talk to the Docker engine, for a bounded time."""
    end = time.monotonic() + _READY_S
    while (left := end - time.monotonic()) > 0:
        if not is_alive(place, running.pid):
            return False
        try:
            # Answers when the engine does: systemd listens for it from early on.
            run(place, running, "docker info --format .", timeout_s=left)
        except RigError:
            time.sleep(1)
        else:
            return True
    return False


def _take_offline(place: Place, running: Running) -> None:
    for cpu in TOPOLOGIES[running.topology].offline:
        command = f"echo 0 > /sys/devices/system/cpu/cpu{cpu}/online"
        run(place, running, command, administrator=True)
