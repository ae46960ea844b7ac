"""
One SSH connection to a host, for all that one process does there.

One OpenSSH client forwards the Docker engine's socket to one in a folder that only this user
enters, and lets further clients share its connection: an HTTP connection to a container is such a
client, whose standard streams are a socket of this process. So nothing listens on a port of this
machine. The connection ends with this process, however that ends.
"""

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.ssh import SshHost, no_client
from lifecycle.ssh_words import failure
from planner.where import CONNECT_TIMEOUT_S

REMOTE_SOCKET = "/var/run/docker.sock"
_STEP = "connecting over SSH"
_POLL_S = 0.02
# The client connects within its own bound; then it logs in and opens the forward.
_OPEN_TIMEOUT_S = CONNECT_TIMEOUT_S + 10
_END_TIMEOUT_S = 5


class Tunnel:
    """
    An open SSH connection to a host; `close` ends it and removes its folder.

    Attributes:
        host: the host, for programs that share this connection.
        docker_socket: where its Docker engine is reached on this machine.
        engine_socket: where that engine listens over there.
    """

    def __init__(self, host: SshHost) -> None:
        """
        Connect to *host* and forward its Docker engine's socket.

        Raises:
            UnreachableError: the host cannot be reached.
            RefusedError: it refuses the user, or is not the one whose key is known.
        """
        # Short, since the path of a socket is at most 107 bytes long.
        self._folder = Path(tempfile.mkdtemp(prefix="on-"))
        self._errors = self._folder / "errors"
        self._lock = Lock()
        self._clients: list[subprocess.Popen[bytes]] = []
        self.docker_socket = self._folder / "docker"
        self.engine_socket = REMOTE_SOCKET
        self.host = replace(host, control=self._folder / "control")
        try:
            self._master = self._start_master()
            self._wait()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection, and all that goes through it."""
        for client in (*self._clients, getattr(self, "_master", None)):
            if client is not None:
                _end(client)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_open(self) -> bool:
        """Whether the connection still stands."""
        return self._master.poll() is None

    def http(self, address: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
        """Return an HTTP connection to *address* and *port* as the host reaches them."""
        return _Connection(self, address, port, timeout_s)

    def open(self, address: str, port: int) -> socket.socket:
        """Return a stream to *address* and *port* as the host reaches them."""
        mine, its = socket.socketpair()
        argv = self.host.argv("-W", f"{address}:{port}")
        with its, self._errors.open("ab") as errors, self._lock:
            self._clients = [client for client in self._clients if client.poll() is None]
            self._clients.append(
                subprocess.Popen(  # noqa: S603 (no shell; the URL's parts are checked)
                    argv,
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    stderr=errors,
                    start_new_session=True,
                )
            )
        return mine

    def _start_master(self) -> subprocess.Popen[bytes]:
        argv = self.host.argv(
            "-L",
            f"{self.docker_socket}:{self.engine_socket}",
            first=("-o", "ControlMaster=yes", "-o", "ExitOnForwardFailure=yes"),
        )
        try:
            with self._errors.open("wb") as errors:
                # `cat` ends when this process does, even when it is killed; an interrupt of the
                # terminal does not reach it, as what was begun is then cleaned up over there.
                return subprocess.Popen(  # noqa: S603 (no shell; the URL's parts are checked)
                    [*argv, "cat"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
        except FileNotFoundError:
            raise no_client(self.host, _STEP) from None

    def _wait(self) -> None:
        deadline = time.monotonic() + _OPEN_TIMEOUT_S
        control = self._folder / "control"
        while not (self.docker_socket.exists() and control.exists()):
            status = self._master.poll()
            if status is not None:
                errors = self._errors.read_text(errors="replace")
                raise failure(self.host, _STEP, status, errors)
            if time.monotonic() > deadline:
                raise self.fault(
                    UnreachableError,
                    f"it did not let {self.host.user!r} in within {_OPEN_TIMEOUT_S} s",
                    f"see that `{self.host.by_hand} true` ends at once, then run this again",
                )
            time.sleep(_POLL_S)

    def fault(self, kind: type[LifecycleError], seen: str, remedy: str) -> LifecycleError:
        """Return an error of this connection."""
        return kind(subject=self.host.where.docker, step=_STEP, seen=seen, remedy=remedy)


def _end(client: subprocess.Popen[bytes]) -> None:
    if client.stdin is not None:
        with suppress(OSError):
            client.stdin.close()
    client.terminate()
    try:
        client.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()


class _Connection(http.client.HTTPConnection):
    """An HTTP connection through a tunnel."""

    def __init__(self, tunnel: Tunnel, address: str, port: int, timeout_s: float) -> None:
        super().__init__(address, port, timeout=timeout_s)
        self._tunnel = tunnel

    def connect(self) -> None:
        """Open the stream; what listens at its end is found out by the first request."""
        self.sock = self._tunnel.open(self.host, self.port)
        self.sock.settimeout(self.timeout)
