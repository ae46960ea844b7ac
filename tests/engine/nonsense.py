"""
A server that answers nonsense, in the place of a model server: ``nonsense --rest_port PORT …``.

It calls itself ready after statuses that nobody knows, and generates with another one.
Runs alone in the server's image, where nothing of this project is.
"""

import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOKS = itertools.count()


class Nonsense(BaseHTTPRequestHandler):
    """Answers every path the same."""

    def do_GET(self) -> None:
        self.say(200 if next(LOOKS) > 2 else 299, "perhaps")

    def do_POST(self) -> None:
        self.say(999, "forty-two")

    def say(self, status: int, words: str) -> None:
        self.send_response(status, words)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words.encode())


if __name__ == "__main__":
    port = int(sys.argv[sys.argv.index("--rest_port") + 1])
    print(f"talking nonsense on port {port}", flush=True)
    ThreadingHTTPServer(("0.0.0.0", port), Nonsense).serve_forever()  # noqa: S104 - as OVMS does
