"""A registry on this machine, which answers as the tests tell it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER = "sha256:" + "a" * 64
NGINX = "sha256:" + "b" * 64
MANIFEST = b'{"schemaVersion": 2}'
TOKEN = "only-for-pulling"  # noqa: S105


class Registry:
    """A registry double: which tags it has, and how it treats those who ask."""

    def __init__(self) -> None:
        self.digests = {
            "openvino/model_server:2026.3": SERVER,
            "library/nginx:1.30": NGINX,
        }
        self.wants_token = False
        self.token_body: bytes = json.dumps({"token": TOKEN}).encode()
        self.challenge: str | None = None
        self.says_digest = True
        self.status = 200
        self.seen: list[str] = []
        self.accepted: list[str] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                double.answer(self)

            def do_GET(self) -> None:
                double.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append(f"{request.command} {request.path}")
        if request.path.startswith("/token"):
            self._send(request, 200, {}, self.token_body)
            return
        self.accepted.append(request.headers["Accept"])
        if self.wants_token and request.headers["Authorization"] != f"Bearer {TOKEN}":
            challenge = f'Bearer realm="{self.url}/token",service="the registry"'
            self._send(request, 401, {"WWW-Authenticate": self.challenge or challenge}, b"")
            return
        name, _, tag = request.path.removeprefix("/v2/").partition("/manifests/")
        digest = self.digests.get(f"{name}:{tag}")
        headers = {"Docker-Content-Digest": digest} if digest and self.says_digest else {}
        self._send(request, self.status if digest else 404, headers, MANIFEST)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
    ) -> None:
        request.send_response(status)
        for key, value in headers.items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
