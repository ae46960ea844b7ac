"""
How a host is reached: its Docker engine, its files, and its containers' ports.

A host behind SSH is reached by one connection a process, whatever is asked of it; the other end of
a local one is this machine. Of one that is reached by TLS only the Docker engine is, and what is
asked of its containers is asked inside them. Nobody else here connects to a host.
"""

import atexit
import http.client
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import docker
from docker.errors import DockerException
from docker.tls import TLSConfig

from lifecycle import listing
from lifecycle.docker_failure import reason, unanswered
from lifecycle.errors import LifecycleError, RefusedError, UnreachableError
from lifecycle.inside import InsideConnection
from lifecycle.ssh import SshHost, run_program
from lifecycle.tunnel import Tunnel
from planner.where import Where

__all__ = ["Link", "Where", "reach"]

_ROOT = Path("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """
    A host that was reached.

    Attributes:
        where: which.
        client: its Docker engine.
        tunnel: the connection to it; None: this machine.
    """

    where: Where
    client: docker.DockerClient
    tunnel: Tunnel | None = None

    def read_files(
        self, patterns: Sequence[str], *, containing: Sequence[str] = ()
    ) -> dict[str, str]:
        """
        Read the host's files that match *patterns*, as `lifecycle.listing` takes them.

        Args:
            patterns: below the root directory; no file need match.
            containing: only lines that have one of these texts; all of them where there are none.

        Returns:
            The text of each file that can be read, by its path without a leading slash; none
            where nothing but the host's Docker engine is reached.

        Raises:
            LifecycleError: the host does not answer any more.
        """
        if self.where.is_engine_only:
            return {}
        if self.tunnel is not None:
            return listing.read_files(self.tunnel.host, patterns, containing=containing)
        return listing.read_here(_ROOT, patterns, containing=containing)

    def free_bytes(self, path: str) -> int | None:
        """
        Return what is left on the disk of *path*; None where it cannot be seen.

        Raises:
            LifecycleError: the host does not answer any more.
        """
        if self.where.is_engine_only:
            return None
        if self.tunnel is None:
            try:
                space = os.statvfs(path)
            except OSError:
                return None
            return space.f_bavail * space.f_frsize
        # df(1p): the fourth column of the second line is what is left, in KiB.
        program = f"df -Pk {shlex.quote(path)} 2>/dev/null || true"
        said = run_program(self.tunnel.host, program, step="looking at its disk").splitlines()
        columns = said[-1].split() if said else []
        return int(columns[3]) << 10 if columns[3:] and columns[3].isdigit() else None

    def http(
        self, address: str, port: int, timeout_s: float, *, inside: str | None = None
    ) -> http.client.HTTPConnection:
        """
        Return an HTTP connection to *address* and *port* as the host itself reaches them.

        Args:
            address: IPv4.
            port: the same on the host and in the container.
            timeout_s: how long an answer may take.
            inside: the container that listens there; the way to it where the host's network is
                not reached. None: it is asked from here then.
        """
        if self.where.is_engine_only and inside is not None:
            return InsideConnection(self.client.containers.get(inside), port, timeout_s)
        if self.tunnel is not None:
            return self.tunnel.http(address, port, timeout_s)
        return http.client.HTTPConnection(address, port, timeout=timeout_s)


def reach(where: Where, *, timeout_s: int = 60) -> Link:
    """
    Connect to a host and its Docker engine.

    Args:
        where: which.
        timeout_s: how long the engine may take to answer a call.

    Raises:
        UnreachableError: nothing answers for another machine, or its engine does not.
        RefusedError: it is not known to be the host, or does not let this user in.
        LifecycleError: no engine answers on this machine.
    """
    tunnel = _TUNNELS.to(where) if where.is_remote else None
    url = f"unix://{tunnel.docker_socket}" if tunnel else where.docker
    try:
        client = docker.DockerClient(base_url=url, timeout=timeout_s, tls=_certificates(where))
        client.ping()
    except DockerException as error:
        raise _no_engine(tunnel, error) if tunnel else unanswered(url, error) from None
    return Link(where=where, client=client, tunnel=tunnel)


class _OwnAuthority(TLSConfig):
    """Trusts one authority, where `requests` would take those of REQUESTS_CA_BUNDLE instead."""

    def configure_client(self, client: docker.APIClient) -> None:
        super().configure_client(client)
        client.trust_env = False


def _certificates(where: Where) -> TLSConfig | bool:
    """Return what proves engine and client to each other, as Docker's own client has it."""
    if where.tls is None:
        return False
    authority, certificate, key = (
        str(Path(where.tls) / name) for name in ("ca.pem", "cert.pem", "key.pem")
    )
    missing = [path for path in (authority, certificate, key) if not Path(path).is_file()]
    if missing:
        raise RefusedError(
            subject=where.docker,
            step="looking for the certificates",
            seen=f"there is no {' and no '.join(missing)}",
            remedy="put the client's certificate and key, and the certificate of the authority "
            f"that signed the engine's, into the folder {where.tls} of the project, which git "
            "ignores; then run this again",
        )
    return _OwnAuthority(client_cert=(certificate, key), ca_cert=authority, verify=True)


class _Tunnels:
    """The open connections: one to a host, however many ask for it at once."""

    def __init__(self) -> None:
        self._tunnels: dict[Where, Tunnel] = {}
        self._locks: dict[Where, Lock] = {}

    def to(self, where: Where) -> Tunnel:
        """Return the connection to a host; a new one where there is none that stands."""
        with self._locks.setdefault(where, Lock()):
            tunnel = self._tunnels.get(where)
            if tunnel is None or not tunnel.is_open:
                self.end(where)
                self._tunnels[where] = tunnel = _open(where)
            return tunnel

    def end(self, where: Where) -> None:
        if (tunnel := self._tunnels.pop(where, None)) is not None:
            tunnel.close()

    def end_all(self) -> None:
        """End all connections."""
        for where in tuple(self._tunnels):
            self.end(where)


_TUNNELS = _Tunnels()
atexit.register(_TUNNELS.end_all)


def _open(where: Where) -> Tunnel:
    if where.known_hosts is not None and not Path(where.known_hosts).expanduser().is_file():
        raise RefusedError(
            subject=where.docker,
            step="looking for its host key",
            seen=f"there is no file {where.known_hosts!r}",
            remedy="name one of the project in the form of known_hosts with `known-hosts` of the "
            "host, then run this again",
        )
    return Tunnel(SshHost.parse(where))


# What `connect` of the socket would answer on the host, which SSH does not pass on.
_LOOK_AT_SOCKET = """\
if [ ! -S {0} ]; then echo absent
elif [ ! -w {0} ]; then echo forbidden
else echo there
fi
"""


def _no_engine(tunnel: Tunnel, error: Exception) -> LifecycleError:
    host, path = tunnel.host, tunnel.engine_socket
    program = _LOOK_AT_SOCKET.format(path)
    found = run_program(host, program, step="looking at its Docker socket").split()[-1:]
    if found == ["absent"]:
        return tunnel.fault(
            UnreachableError,
            f"it has no Docker socket {path}",
            "start Docker there (`systemctl start docker`), or install it, then run this again",
        )
    if found == ["forbidden"]:
        return tunnel.fault(
            RefusedError,
            f"the user {host.user!r} may not use its Docker engine ({path})",
            f"add the user to the group that may (`usermod -aG docker {host.user}` there, as "
            "root), or name another one in the URL, then run this again",
        )
    return tunnel.fault(
        UnreachableError,
        f"no engine answers behind its Docker socket {path} ({reason(error)})",
        "start Docker there (`systemctl start docker`); where it runs, let its sshd forward the "
        "socket (`AllowStreamLocalForwarding yes`, `AllowTcpForwarding yes`, `PermitOpen any`, and "
        "no `restrict` or `no-port-forwarding` before the key in authorized_keys); then run this "
        "again",
    )
