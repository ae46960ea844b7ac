"""
HTTP to a container's own port by a command inside it.

For a host of which nothing but its Docker engine is reached. The container's image needs `bash`
and `timeout`, which those of OpenVINO Model Server and Nginx on Debian, Ubuntu and RHEL have.
"""

import http.client
import io
import math
from typing import Any, cast

from docker.models.containers import Container

from lifecycle import docker_host

_SCRIPT = 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1; printf %s "$2" >&3; cat <&3'
_LONGER_S = 5.0


class InsideConnection(http.client.HTTPConnection):
    """A connection to a port of a container, whatever networks that is in; one request each."""

    def __init__(self, container: Container, port: int, timeout_s: float) -> None:
        super().__init__("127.0.0.1", port, timeout=timeout_s)
        self._exchange = _Exchange(container, port, timeout_s)

    def connect(self) -> None:
        """Have what is sent go into the container."""
        # As far as http.client uses a socket, it is one.
        self.sock = cast(Any, self._exchange)

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        """Ask the server to close, as the command ends only then."""
        self.putheader("Connection", "close")
        super().endheaders(message_body, encode_chunked=encode_chunked)


class _Exchange:
    """What http.client takes for a socket: all that is sent is one command's argument."""

    def __init__(self, container: Container, port: int, timeout_s: float) -> None:
        self._container = container
        self._port = port
        self._timeout_s = timeout_s
        self._sent = b""

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def makefile(self, *_: object) -> io.BytesIO:
        """
        Send what was to be sent, and return the whole answer.

        Raises:
            ConnectionError: nothing listens there, no answer came in time, or the command could
                not be run.
        """
        bound = str(math.ceil(self._timeout_s))
        argv = ("timeout", bound, "bash", "-c", _SCRIPT, "bash", str(self._port))
        within_s = self._timeout_s + _LONGER_S
        try:
            answer = docker_host.run(self._container, *argv, self._sent.decode(), within_s=within_s)
        except docker_host.CommandError as error:
            raise ConnectionError(str(error).splitlines()[-1]) from None
        return io.BytesIO(answer.encode())

    def close(self) -> None:
        """Leave nothing open, as the command has ended."""
