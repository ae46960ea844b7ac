"""A model server that does what the prompt of a request says, and dies when it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_S = 20


class ScriptedServer:
    """
    Answers 200, or `status`, to every prompt but these.

    ``hold`` is answered once it is released, ``kill`` ends the server, ``lost`` only the
    connection, and ``cut`` the connection after the first bytes of the answer.
    """

    def __init__(self, address: str) -> None:
        self.status = 200
        self.got: list[str] = []
        """What came: the prompt, or the path where there is none."""
        self.held = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener = _Listener((address, 0), self)
        self.address, self.port = address, int(self._listener.server_address[1])
        threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    @property
    def name(self) -> str:
        """How Nginx names it."""
        return f"{self.address}:{self.port}"

    def release(self) -> None:
        """Answer what is held, now and from now on."""
        self.held.set()

    def die(self) -> None:
        """Refuse and cut everything, as the kernel does for a process that is gone."""
        self._listener.shutdown()
        self._listener.server_close()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.release()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], server: ScriptedServer) -> None:
        self.scripted = server
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self._server()._connections.add(self.connection)  # noqa: SLF001 - its own

    def finish(self) -> None:
        self._server()._connections.discard(self.connection)  # noqa: SLF001 - its own
        with suppress(OSError):
            super().finish()

    def _server(self) -> ScriptedServer:
        return self.server.scripted

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        prompt = json.loads(body)["prompt"] if body else self.path
        self._server().got.append(prompt)
        does: dict[str, Callable[[], None]] = {
            "hold": self._hold,
            "kill": self._server().die,
            "lost": self._drop,
            "cut": self._cut,
        }
        does.get(prompt, self._answer)()

    def _hold(self) -> None:
        self._server().held.wait(WAIT_S)
        with suppress(OSError):
            self._answer()

    def _drop(self) -> None:
        self.close_connection = True

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"data: ")
        self._drop()

    def _answer(self) -> None:
        text = json.dumps({"from": self._server().name}).encode()
        self.send_response(self._server().status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted_servers(address: str, count: int) -> Iterator[list[ScriptedServer]]:
    """Serve on *count* free ports of *address* until the block ends."""
    servers = [ScriptedServer(address) for _ in range(count)]
    try:
        yield servers
    finally:
        for server in servers:
            server.die()
