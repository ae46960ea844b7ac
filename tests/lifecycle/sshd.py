"""An SSH server of a test's own: loopback port, host key, user key, and a client with that key."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

# Not in every user's PATH.
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """
    Attributes:
        port: on 127.0.0.1.
        user: the only one it lets in.
        host_key: its public key, as known_hosts has it.
        folder: of its files.
        process: the server itself.
    """

    port: int
    user: str
    host_key: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    def known_hosts(self, key: str | None = None) -> Path:
        """Write a file that knows the server by *key*; by its own without one."""
        path = self.folder / "known hosts %h"
        path.write_text(f"[127.0.0.1]:{self.port} {self.host_key if key is None else key}\n")
        return path


@contextmanager
def serve_ssh(folder: Path, path: pytest.MonkeyPatch, *, settings: str = "") -> Iterator[Sshd]:
    """
    Start a server in *folder*, and put a client with its user's key first on PATH.

    Args:
        folder: an empty one.
        path: what changes PATH.
        settings: more lines of sshd_config(5), which count before the usual ones.
    """
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no OpenSSH server and client here (Debian: openssh-server)")
    if os.geteuid() == 0:
        # Where no boot has made it, the server refuses to start as root.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    host_key, user_key = new_key(folder / "host_key"), new_key(folder / "user_key")
    (folder / "authorized_keys").write_text(user_key)
    port = free_port()
    (folder / "sshd_config").write_text(settings + _CONFIG.format(port=port, folder=folder))
    write_client(folder / "bin", folder / "user_key")
    path.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        wait_for(port, server, folder / "log")
        user = pwd.getpwuid(os.geteuid()).pw_name
        yield Sshd(port=port, user=user, host_key=host_key, folder=folder, process=server)
    finally:
        server.terminate()
        server.wait(10)


_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys .ssh/authorized_keys
PidFile none
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
"""


def write_client(folder: Path, key: Path) -> None:
    """Write a program ssh that has the key; a test must not read the files of who runs it."""
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(
        f"#!/bin/sh\nexec {shutil.which('ssh')} -F /dev/null -i '{key}' -o IdentitiesOnly=yes "
        '"$@"\n'
    )
    script.chmod(0o755)


def new_key(path: Path) -> str:
    """Make a key pair; return its public half."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=30)
    return path.with_suffix(".pub").read_text().strip()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"the SSH server did not start: {log.read_text()}")
