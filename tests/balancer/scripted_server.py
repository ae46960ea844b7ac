"""A model server that does what the prompt of a request says, and dies when it is told to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_S = 120


class ScriptedServer:
    """
    Answers 200, or `status`, to every prompt but these.

    ``hold`` is answered once it is released, ``kill`` ends the server, ``lost`` only the
    connection, and ``cut`` the connection after the first bytes of the answer.

    Attributes:
        status: of answers to prompts.
        ready: the status of the model.
        metrics: what it says of itself.
        got: what came: the prompt, or the path where there is none.
        looks: how often the watcher looked.
        asked: how often anything was asked, also what got no answer.
        answers: whether anything at all is answered.
        cuts: whether every connection is cut.
        holds_all: whether every prompt is held.
    """

    def __init__(self, address: str) -> None:
        self.status = self.ready = 200
        self.metrics = ""
        self.got: list[str] = []
        self.looks = self.asked = 0
        self.answers = threading.Event()
        self.answers.set()
        self.cuts = self.holds_all = False
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
        self.answers.set()


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
        self._server().asked += 1
        self._server().answers.wait(WAIT_S)
        if self._server().cuts:
            self._drop()
            return
        if self.path == "/metrics":
            self._say(200, self._server().metrics)
            return
        if self.path.endswith("/ready"):
            self._server().looks += 1
            self._say(self._server().ready, "")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        prompt = json.loads(body)["prompt"] if body else self.path
        self._server().got.append(prompt)
        does: dict[str, Callable[[], None]] = {
            "hold": self._hold,
            "kill": self._server().die,
            "lost": self._drop,
            "cut": self._cut,
        }
        does.get("hold" if self._server().holds_all else prompt, self._answer)()

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
        text = json.dumps({"from": self._server().name, "choices": [{"text": "1"}]})
        self._say(self._server().status, text)

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        # Who asked may not have waited.
        with suppress(OSError):
            self.end_headers()
            self.wfile.write(text.encode())

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
