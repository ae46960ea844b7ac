"""A local HTTP server that answers by a script, as a model server or a balancer would."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Status and body; none: no answer at all, ever.
Answer = tuple[int, str] | None
CUT: Answer = (0, "")
"""The connection is closed instead of an answer."""


@dataclass(kw_only=True)
class LocalServer:
    """
    Answers requests by ``METHOD /path``, and 404 to all others.

    A sequence of answers is given one by one, the last one for ever; a function is asked.
    """

    answers: dict[str, Sequence[Answer] | Callable[[], Answer]]
    on_request: Callable[[str], None] = lambda _: None
    port: int = 0
    bodies: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: str) -> Answer:
        script = self.answers.get(request, [(404, "")])
        if callable(script):
            return script()
        if len(script) > 1:
            self.answers[request] = script[1:]
        return script[0]


def _handler(server: LocalServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            request = f"{self.command} {self.path}"
            server.on_request(request)
            length = int(self.headers.get("Content-Length") or 0)
            server.bodies.append(self.rfile.read(length).decode())
            answer = server.answer(request)
            if answer is None:
                server.closing.wait(10)
                return
            if answer == CUT:
                self.close_connection = True
                return
            status, text = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serve(server: LocalServer) -> Iterator[LocalServer]:
    """Serve on a free port of 127.0.0.1 until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", server.port), _handler(server)) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            listener.shutdown()
            thread.join()
