"""Start the emulated host, wait until it can be used, and end it."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from images.commands import say
from tests.rig import made
from tests.rig.errors import RigError
from tests.rig.place import Place, Running
from tests.rig.topologies import TOPOLOGIES

SSH_PORT: Final = 12022
PORTS: Final = (18120,)
"""Of the balancer that Pulumi.rig.yaml describes."""

# Measured 28-40 s alone on two cores; one boot of twelve hung in the kernel for ever.
_READY_S: Final = 100
_ATTEMPTS: Final = 2
_KERNEL: Final = "root=/dev/vda rw console=ttyS0 mitigations=off apparmor=0 net.ifnames=0 quiet"


def start(
    place: Place, topology: str, *, ssh_port: int = SSH_PORT, ports: Sequence[int] = PORTS
) -> Running:
    """
    Start a rig from its kept disk, and wait for its sshd and its Docker engine.

    Raises:
        RigError: one runs here already, or it was not ready in time, twice.
        StageError: what it is made of could not be had.
    """
    if (running := place.read()) is not None and is_alive(place, running.pid):
        raise RigError(
            f"a rig ({running.topology}) runs already, as process {running.pid}. "
            "End it with `make rig-down`"
        )
    place.make_keys(ssh_port)
    for attempt in range(1, _ATTEMPTS + 1):
        running = _launch(place, topology, ssh_port, ports)
        if _is_ready(place, running):
            _take_offline(place, running)
            return running
        say(f"rig: not ready within {_READY_S} s, attempt {attempt} of {_ATTEMPTS}")
        stop(place)
    raise RigError(
        f"the rig ({topology}) was not ready within {_READY_S} s, {_ATTEMPTS} times. "
        f"See what {place.console} ends with; it needs two idle CPUs and 4 GiB of memory"
    )


def stop(place: Place) -> None:
    """End the rig that was started in *place*, and forget what it wrote."""
    running = place.read()
    if running is None:
        return
    with suppress(ProcessLookupError):
        os.kill(running.agent_pid, signal.SIGTERM)
    if is_alive(place, running.pid):
        os.kill(running.pid, signal.SIGKILL)
        while is_alive(place, running.pid):
            time.sleep(0.05)
    for path in (place.disk, place.agent):
        path.unlink(missing_ok=True)
    place.write(None)


def is_alive(place: Place, pid: int) -> bool:
    """Say whether process *pid* is the QEMU of *place*; numbers of processes are used again."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return str(place.disk) in Path(f"/proc/{pid}/cmdline").read_text()
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


def _launch(place: Place, topology: str, ssh_port: int, ports: Sequence[int]) -> Running:
    emulator, guest = made.emulator(), made.guest()
    place.disk.unlink(missing_ok=True)
    overlay = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(guest.disk), str(place.disk)]
    subprocess.run([*emulator.command("qemu-img"), *overlay], check=True)
    forwards = [f"hostfwd=tcp:127.0.0.1:{ssh_port}-:22"]
    forwards += [f"hostfwd=tcp:127.0.0.1:{port}-:{port}" for port in ports]
    words = [
        *emulator.command("qemu-system-x86_64"), *emulator.firmware,
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-nodefaults",
        "-display", "none", *TOPOLOGIES[topology].options(),
        "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", _KERNEL,
        "-serial", f"file:{place.console}",
        "-drive", f"file={place.disk},if=none,id=root,format=qcow2,cache=unsafe",
        "-device", "virtio-blk-pci,drive=root",
        "-drive", f"file={place.keys},if=none,id=keys,format=raw,readonly=on",
        "-device", "virtio-blk-pci,drive=keys",
        "-netdev", ",".join(["user", "id=net", "restrict=on", *forwards]),
        "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
    ]  # fmt: skip
    with (place.folder / "qemu.log").open("wb") as log:
        process = subprocess.Popen(
            words,
            env=emulator.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = Running(
        pid=process.pid,
        agent_pid=_start_agent(place),
        topology=topology,
        ssh_port=ssh_port,
        ports=tuple(ports),
    )
    place.write(running)
    return running


def _start_agent(place: Place) -> int:
    """Start an agent with the user's key, for clients that no identity can be named to."""
    place.agent.unlink(missing_ok=True)
    words = ["ssh-agent", "-s", "-a", str(place.agent)]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    add = ["ssh-add", "-q", str(place.identity)]
    subprocess.run(add, check=True, env=place.environment())
    return int(told.partition("SSH_AGENT_PID=")[2].partition(";")[0])


def _is_ready(place: Place, running: Running) -> bool:
    """Wait until the user can talk to the Docker engine, for a bounded time."""
    end = time.monotonic() + _READY_S
    while (left := end - time.monotonic()) > 0:
        if not is_alive(place, running.pid):
            said = (place.folder / "qemu.log").read_text().strip()
            place.write(None)
            raise RigError(f"QEMU ended at once: {said}. See that its ports are free")
        try:
            run(place, running, "docker info --format .", timeout_s=min(20, left))
        except RigError:
            time.sleep(1)
        else:
            return True
    return False


def _take_offline(place: Place, running: Running) -> None:
    for cpu in TOPOLOGIES[running.topology].offline:
        command = f"echo 0 > /sys/devices/system/cpu/cpu{cpu}/online"
        run(place, running, command, administrator=True)
