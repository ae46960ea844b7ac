"""The folder of one rig: its keys, its disk, and what is known about the machine that runs."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from images.commands import run
from lifecycle.reach import Where
from lifecycle.ssh import SshHost

ROOT: Final = Path(__file__).parents[2]
USER: Final = "deploy"
"""Who the program logs in as: in the group docker, without further rights."""

CLIENT_REMEDY: Final = "See that an OpenSSH client is installed here, then run it again."

_ADMINISTRATOR: Final = "root"
"""Who tests log in as that restart daemons, take CPUs offline or reboot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """
    A rig that runs.

    Attributes:
        pid: of QEMU.
        agent_pid: of the agent that holds the user's key.
        topology: its name.
        ssh_port: of this machine's loopback, forwarded to the guest's sshd.
        ports: further ports that are forwarded, the same here and there.
    """

    pid: int
    agent_pid: int
    topology: str
    ssh_port: int
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The folder, which git ignores; made when it is first needed."""

    folder: Path = ROOT / ".rig"

    @property
    def known_hosts(self) -> Path:
        """The key of the rig's sshd, in the form of known_hosts."""
        return self.folder / "known_hosts"

    @property
    def identity(self) -> Path:
        """The private key of USER."""
        return self.folder / "user"

    @property
    def administrator(self) -> Path:
        """The private key of root, for tests only."""
        return self.folder / "administrator"

    @property
    def agent(self) -> Path:
        """The socket of the agent: what SSH_AUTH_SOCK has to say."""
        return self.folder / "agent"

    @property
    def disk(self) -> Path:
        """What this guest has written, above the disk that is kept for all."""
        return self.folder / "disk.qcow2"

    @property
    def keys(self) -> Path:
        """The guest's second disk: a tar."""
        return self.folder / "keys.tar"

    @property
    def monitor(self) -> Path:
        """The socket at which QEMU takes an operator's orders."""
        return self.folder / "monitor"

    @property
    def console(self) -> Path:
        """What the guest's kernel and init wrote."""
        return self.folder / "console.log"

    def make_keys(self, ssh_port: int) -> None:
        """
        Make the keys, unless they are there, and what says that they may be used.

        Raises:
            StageError: there is no OpenSSH client on this machine.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = self.folder / "host"
        for key in (host, self.identity, self.administrator):
            if not key.exists():
                words = ["-q", "-t", "ed25519", "-N", "", "-C", f"rig-{key.name}", "-f", str(key)]
                run(["ssh-keygen", *words], remedy=CLIENT_REMEDY)
        algorithm, public, _ = host.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{ssh_port} {algorithm} {public}\n")
        files = {
            "etc/ssh/ssh_host_ed25519_key": (host, 0),
            "etc/ssh/ssh_host_ed25519_key.pub": (host.with_suffix(".pub"), 0),
            f"home/{USER}/.ssh/authorized_keys": (self.identity.with_suffix(".pub"), 1000),
            "root/.ssh/authorized_keys": (self.administrator.with_suffix(".pub"), 0),
        }
        with tarfile.open(self.keys, "w") as tar:
            for name, (path, owner) in files.items():
                _add(tar, str(Path(name).parent), None, owner)
                _add(tar, name, path.read_bytes(), owner)

    def host(self, running: Running) -> SshHost:
        """Say how the program reaches *running*."""
        url = f"ssh://{USER}@127.0.0.1:{running.ssh_port}"
        return SshHost.parse(Where(docker=url, known_hosts=str(self.known_hosts)))

    def words(self, running: Running, *, administrator: bool = False) -> list[str]:
        """Return the words that begin a command line on *running*; nothing of the user's counts."""
        host = self.host(running)
        key = self.administrator if administrator else self.identity
        user = _ADMINISTRATOR if administrator else USER
        return [
            *("ssh", "-F", "none", "-i", str(key), "-o", "IdentitiesOnly=yes"),
            *("-o", "IdentityAgent=none", *host.where.ssh_options(), "-p", str(running.ssh_port)),
            *("-l", user, "--", host.name),
        ]

    def read(self) -> Running | None:
        """Tell which rig was started here; it may have ended since."""
        try:
            told: Mapping[str, object] = json.loads((self.folder / "running.json").read_text())
        except FileNotFoundError:
            return None
        return Running(**{**told, "ports": tuple(told["ports"])})  # type: ignore[arg-type]

    def write(self, running: Running | None) -> None:
        """Record what was started, or that nothing is."""
        path = self.folder / "running.json"
        if running is None:
            path.unlink(missing_ok=True)
            return
        path.write_text(json.dumps(asdict(running)) + "\n")


def _add(tar: tarfile.TarFile, name: str, content: bytes | None, owner: int) -> None:
    """Add a file, or with None its folder if that is somebody's own."""
    entry = tarfile.TarInfo(name)
    entry.uid = entry.gid = owner
    if content is None:
        if name.endswith(".ssh"):
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(entry)
        return
    entry.mode, entry.size = 0o644 if name.endswith(".pub") else 0o600, len(content)
    tar.addfile(entry, io.BytesIO(content))
