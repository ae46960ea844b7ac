"""A chat server on loopback that streams by a script and writes down when it sent what."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

USAGE = {"prompt_tokens": 11, "completion_tokens": 3}
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, kw_only=True)
class Script:
    """
    How one request is answered.

    Attributes:
        delays_s: before each chunk, in seconds.
        status: of the answer; all but 200 have `body` and no stream.
        body: of such an answer.
        upstream: the header X-Upstream; None: not sent.
        finish: whether the last chunk has a finish reason.
        usage: what the last event counts; None: it is left out.
        done: whether ``[DONE]`` is sent.
        event: one more event, before the end.
        silent: no answer at all.
        reset_at_once: the connection is reset without an answer.
        reset_after: the connection is reset after so many chunks.
        close_after: it is closed after so many chunks, in the middle of the body.
    """

    delays_s: tuple[float, ...] = (0.0, 0.0, 0.0)
    status: int = 200
    body: str = "no"
    upstream: str | None = "10.0.0.1:8000"
    finish: bool = True
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    done: bool = True
    event: str = ""
    silent: bool = False
    reset_at_once: bool = False
    reset_after: int | None = None
    close_after: int | None = None


@dataclass
class Server:
    """
    Answers each request by what *script* says of its number, from 0.

    Attributes:
        script: how a request is answered.
        held: how many requests must have come before any is answered.
        port: where it listens.
        connections: that were made.
        in_flight: requests that are being answered; `most` is the most there ever were.
        bodies: what was asked.
        sent: when each chunk of each request was sent, of `time.monotonic`.
        left: requests whose client went away before the answer was whole.
    """

    script: Callable[[int], Script]
    held: int = 0
    port: int = 0
    connections: int = 0
    in_flight: int = 0
    most: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    sent: dict[int, list[float]] = field(default_factory=dict)
    left: int = 0
    everyone: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3/chat/completions"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if head.startswith("get /v3/models "):
            _write(writer, 200, '{"data": [{"id": "listed"}]}')
            return True
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        number = len(self.bodies)
        self.bodies.append(json.loads(await reader.readexactly(length)))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self._answer(number, writer)
        except ConnectionError:
            self.left += 1
            raise
        finally:
            self.in_flight -= 1
        return "connection: close" not in head and not writer.is_closing()

    async def _answer(self, number: int, writer: asyncio.StreamWriter) -> None:
        if len(self.bodies) >= self.held:
            self.everyone.set()
        await self.everyone.wait()
        script = self.script(number)
        if script.silent:
            await asyncio.sleep(60)
        if script.reset_at_once:
            _break(writer, reset=True)
            return
        if script.status != 200:
            _write(writer, script.status, script.body, script.upstream)
            return
        writer.write(_head(200, "text/event-stream", script.upstream, "transfer-encoding: chunked"))
        sent = self.sent.setdefault(number, [])
        for place, delay_s in enumerate(script.delays_s):
            await asyncio.sleep(delay_s)
            if place in (script.reset_after, script.close_after):
                _break(writer, reset=script.reset_after is not None)
                return
            sent.append(time.monotonic())
            last = script.finish and place == len(script.delays_s) - 1
            await _send(writer, _chunk(f"t{place} ", "stop" if last else None))
        await _finish(writer, script)


@asynccontextmanager
async def serving(
    script: Script | Callable[[int], Script], *, held: int = 0, backlog: int = 1024
) -> AsyncIterator[Server]:
    """Serve on a free port; *held* as in `Server`."""
    server = Server(script if callable(script) else lambda _: script, held)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, backlog=backlog)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks)


def _head(status: int, kind: str, upstream: str | None, *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"content-type: {kind}", *more]
    if upstream is not None:
        lines.append(f"X-Upstream: {upstream}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _write(
    writer: asyncio.StreamWriter, status: int, body: str, upstream: str | None = None
) -> None:
    length = f"content-length: {len(body)}"
    writer.write(_head(status, "application/json", upstream, length) + body.encode())


def _chunk(text: str, finish: str | None) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return json.dumps({"choices": [choice]})


async def _send(writer: asyncio.StreamWriter, event: str) -> None:
    data = f"data: {event}\n\n".encode()
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    await writer.drain()


async def _finish(writer: asyncio.StreamWriter, script: Script) -> None:
    if script.event:
        await _send(writer, script.event)
    if script.usage is not None:
        await _send(writer, json.dumps({"choices": [], "usage": script.usage}))
    if script.done:
        await _send(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")


def _break(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        plug: socket.socket = writer.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()
    writer.close()
