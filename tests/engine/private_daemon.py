"""A Docker engine of a test's own, with its own network and a small disk; never the machine's."""

import ipaddress
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest

PROGRAMS = ("ip", "mount", "umount", "nsenter", "dockerd")
"""What it is made and run with; and root."""

_API = "1.41"
_ANSWERS_WITHIN_S = 60
_STOPS_WITHIN_S = 60
_POLL_S = 0.1


@dataclass(kw_only=True)
class PrivateDaemon:
    """
    A dockerd in a network namespace of its own.

    In the machine's own network it would delete the bridge of the dockerd that is there. Its
    containers' addresses and published ports exist inside the namespace only, so what asks them
    runs behind `enter`.

    Attributes:
        name: of the network namespace.
        folder: what it keeps anywhere; short, as a socket's path has 107 bytes at most.
        disk_mib: the size of the disk for its images, containers and volumes.
        address: of the namespace, an IPv4 address whose predecessor this machine then has; so
            joined it is a second host. None: it is joined to nothing.
        arguments: more of the engine's own.
    """

    name: str
    folder: Path
    disk_mib: int
    address: str | None = None
    arguments: tuple[str, ...] = ()
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def enter(self) -> tuple[str, ...]:
        """The words that begin a command inside the namespace."""
        # Not `ip netns exec`, which hides the control groups: it mounts another /sys.
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def client(self) -> docker.DockerClient:
        """A client, which the engine need not run for."""
        return docker.DockerClient(base_url=self.url, version=_API)

    def set_up(self) -> None:
        """Make the network and the disk, in place of those that a killed run left."""
        for disk in self._disks():
            PrivateDaemon(name=self.name, folder=disk.parent, disk_mib=0).remove()
        self._remove_network()
        self._disk.mkdir(parents=True)
        _run("ip", "netns", "add", self.name)
        _run("ip", "-netns", self.name, "link", "set", "lo", "up")
        if self.address is not None:
            self._join(self.address)
        _run("mount", "-t", "tmpfs", "-o", f"size={self.disk_mib}m", self.name, str(self._disk))

    def _join(self, address: str) -> None:
        # An interface's name has 15 characters at most.
        here = f"on-{self.name[-11:]}"
        _run("ip", "link", "add", here, "type", "veth", "peer", "eth0", "netns", self.name)
        _run("ip", "address", "add", f"{ipaddress.IPv4Address(address) - 1}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        _run("ip", "-netns", self.name, "address", "add", f"{address}/30", "dev", "eth0")
        _run("ip", "-netns", self.name, "link", "set", "eth0", "up")

    def start(self) -> None:
        """Start the engine, and return when it answers."""
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.enter, "dockerd",
                    "--host", self.url,
                    "--data-root", str(self._disk / "docker"),
                    "--exec-root", str(self.folder / "exec"),
                    "--pidfile", str(self.folder / "docker.pid"),
                    # Where the machine has a containerd of its own, in a space of its own there.
                    "--containerd-namespace", self.name,
                    "--containerd-plugins-namespace", f"{self.name}-plugins",
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while not self.answers():
            assert self._process.poll() is None, f"it ended: {self._log()}"
            assert time.monotonic() < deadline, f"it does not answer: {self._log()}"
            time.sleep(_POLL_S)

    def start_again(self) -> None:
        """Start the engine where it is stopped."""
        if self._process is None:
            self.start()

    def answers(self) -> bool:
        client = self.client()
        try:
            return client.ping()
        except (docker.errors.DockerException, OSError):
            return False
        finally:
            client.close()

    def stop(self) -> None:
        """Stop the engine and, with it, its containers."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.wait(timeout=_STOPS_WITHIN_S)
        self._process = None

    def fill(self, *, leave: int) -> None:
        """Take all of the disk but *leave* bytes."""
        space = os.statvfs(self._disk)
        with self._ballast.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - leave)

    def make_space(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take away all that this made: processes, mounts, the network."""
        try:
            self.stop()
        finally:
            for pid in self._left():
                os.kill(pid, signal.SIGKILL)
            for mount in reversed(list(self._mounts())):
                _run("umount", "--lazy", mount)
            self._remove_network()

    def _remove_network(self) -> None:
        if (Path("/run/netns") / self.name).exists():
            _run("ip", "netns", "delete", self.name)

    @property
    def _disk(self) -> Path:
        return self.folder / "disk"

    @property
    def _ballast(self) -> Path:
        return self._disk / "ballast"

    def _log(self) -> str:
        return "\n".join((self.folder / "dockerd.log").read_text().splitlines()[-15:])

    def _left(self) -> Iterator[int]:
        """The processes of this engine that its end has left: its own, and those of containers."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text(errors="replace").split("\0")
                root = (process / "mountinfo").read_text().partition("\n")[0]
            except OSError:
                continue  # it ended meanwhile
            is_engine = Path(words[0]).name.startswith(("dockerd", "containerd"))
            # The first mount of a container is its root, which lies on this engine's disk.
            told = words if is_engine else [root]
            if any(f"{self.folder}/" in text for text in told):
                yield int(process.name)

    def _mounts(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            place = line.split()[4]
            if place.startswith(f"{self.folder}/"):
                yield place

    def _disks(self) -> list[Path]:
        """The disks of this name that are mounted, each in the folder of its run."""
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [Path(words[4]) for words in mounts if words[-2] == self.name]


def require(*programs: str) -> None:
    """Skip the test where such an engine cannot be made, or one of *programs* is missing."""
    needed = (*PROGRAMS, *programs)
    if os.geteuid() != 0 or not all(map(shutil.which, needed)):
        pytest.skip(f"a network and a disk are made by root with {', '.join(needed)}")


@contextmanager
def running(daemon: PrivateDaemon) -> Iterator[PrivateDaemon]:
    """Make and start *daemon*; take all that it made away when the block ends."""
    daemon.set_up()
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.remove()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
