"""
Faults on request, for tests of what watches a server: nothing that OVMS has.

Only a server that was started with ``--faults`` has them, as whoever reaches its port could then
end it. ``POST /faults/reset``, ``/faults/unavailable?seconds=60`` and ``/faults/memory`` begin one;
a prompt with `DEADLY` in it kills the process that reads it.
"""

import asyncio
import logging
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .generation import Cancel, Generator, Load, Sampling, Step, Tokens

log = logging.getLogger("devserver")

DEADLY: Final = "[the server that reads this dies]"
"""The words of a prompt that no server survives."""

_PATH: Final = "/faults/"
_CHUNK_BYTES: Final = 32 << 20
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Faults:
    """
    Which faults a server has now; changed by requests, read by what answers them.

    Attributes:
        resetting: every connection is reset as soon as it is there.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.resetting = False
        self._unavailable_until = 0.0
        self._transports: set[asyncio.Transport] = set()

    @property
    def unavailable(self) -> bool:
        """Whether every request is answered 503."""
        return time.monotonic() < self._unavailable_until

    def begin(self, name: str, seconds: float) -> bool:
        """Begin the fault *name*; False where there is none of that name."""
        starts: Mapping[str, Callable[[], None]] = {
            "reset": self._reset,
            "unavailable": lambda: self._be_unavailable(seconds),
            "memory": lambda: threading.Thread(target=_take_memory, daemon=True).start(),
        }
        if name not in starts:
            return False
        log.warning("fault: %s", name)
        starts[name]()
        return True

    def connected(self, transport: asyncio.Transport) -> None:
        """Take a new connection into account."""
        if self.resetting:
            _reset(transport)
        else:
            self._transports.add(transport)

    def disconnected(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        self._transports.discard(transport)

    def _reset(self) -> None:
        self.resetting = True
        for transport in list(self._transports):
            _reset(transport)

    def _be_unavailable(self, seconds: float) -> None:
        self._unavailable_until = time.monotonic() + seconds


def _reset(transport: asyncio.Transport) -> None:
    """End a connection by RST, as a process that dies does; a plain end would be a FIN."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _take_memory() -> None:
    """Take memory until the kernel ends this process."""
    taken = []
    while True:
        # Written, as the kernel gives nothing before.
        taken.append(bytearray(b"\1") * _CHUNK_BYTES)


class Faulty:
    """An application that begins faults, and answers 503 while it has that one."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app, self._faults = app, faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = self._answer(Request(scope))
        await (response or self._app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        if self._faults.unavailable:
            return JSONResponse({"error": "unavailable for a while, as was asked for"}, 503)
        path = request.url.path
        if request.method != "POST" or not path.startswith(_PATH):
            return None
        try:
            seconds = float(request.query_params.get("seconds", "60"))
        except ValueError:
            return JSONResponse({"error": "seconds is no number"}, 400)
        if self._faults.begin(path.removeprefix(_PATH), seconds):
            return Response(status_code=202)
        return JSONResponse({"error": "no such fault"}, 404)


def protocol(faults: Faults) -> type[H11Protocol]:
    """Return uvicorn's protocol, with connections that *faults* may reset."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            faults.connected(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            faults.disconnected(self.transport)
            super().connection_lost(exc)

    return Protocol


class Deadly:
    """A model that kills its process when it reads `DEADLY`; else the one that it is given."""

    def __init__(self, model: Generator) -> None:
        self._model = model

    @property
    def max_length(self) -> int:
        """As the model's."""
        return self._model.max_length

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Tokens:
        """As the model's, unless a message is deadly."""
        _read("".join(str(message["content"]) for message in messages))
        return self._model.encode_chat(messages)

    def encode_text(self, text: str) -> Tokens:
        """As the model's, unless the text is deadly."""
        _read(text)
        return self._model.encode_text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """As the model's."""
        return self._model.decode(tokens)

    def start(self, prompt: Tokens, sampling: Sampling, sink: Callable[[Step], None]) -> Cancel:
        """As the model's."""
        return self._model.start(prompt, sampling, sink)

    def load(self) -> Load:
        """As the model's."""
        return self._model.load()

    def close(self) -> None:
        """As the model's."""
        self._model.close()


def _read(text: str) -> None:
    if DEADLY in text:
        os.kill(os.getpid(), signal.SIGKILL)
