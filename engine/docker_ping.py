"""Asks a Docker engine whether it is there, without the docker command."""

import http.client
import socket
import urllib.parse

DEFAULT = "unix:///var/run/docker.sock"
_TIMEOUT_S = 5
_OK = 200
_SPEAKS_TLS = 400


def ping(address: str) -> OSError | None:
    """
    Return None when the engine at *address* answers, or what stands in the way.

    Source: Docker Engine API, `GET /_ping`. An engine that speaks TLS
    refuses plain HTTP with status 400, and counts as one that answers.

    Args:
        address: `unix:///path` or `tcp://host:port`, as in DOCKER_HOST.
    """
    connection = _connection(urllib.parse.urlsplit(address))
    try:
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except http.client.HTTPException as fault:
        return OSError(f"the answer is not HTTP ({fault})")
    except OSError as fault:
        return fault
    finally:
        connection.close()
    return (
        None if status in (_OK, _SPEAKS_TLS) else OSError(f"it answered with HTTP status {status}")
    )


def _connection(address: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    if address.scheme == "unix":
        return _UnixConnection(address.path)
    return http.client.HTTPConnection(
        address.hostname or "localhost", address.port or 2375, timeout=_TIMEOUT_S
    )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
