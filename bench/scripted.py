"""
``python -m bench.scripted``: model servers without a model, that stream tokens by the clock.

They speak the streaming half of the OpenAI API as OVMS does: no byte of the answer before its
first token. A server generates one token for each running request in every step, and a step takes
as long however many run, up to a cap; more wait.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

Event = tuple[float, int, int]
"""When (monotonic clock, s), at which server, and 1 for a request that came, -1 for its end."""

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
_END = b"data: [DONE]\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(slots=True, eq=False)
class _Generation:
    """A request: how many tokens are left, and where they go."""

    left: int
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False

    def step(self) -> None:
        """Send a token."""
        data = _chunk(_TOKEN)
        if not self.begun:
            data, self.begun = _HEAD + data, True
        self.left -= 1
        if self.left == 0:
            data += _chunk(_END) + b"0\r\n\r\n"
        self.writer.write(data)
        if self.left == 0 or self.writer.is_closing():
            self.ended.set()


@dataclass(kw_only=True)
class Backend:
    """One server, and the step loop of its batch."""

    number: int
    step_s: float
    """How long a step takes; 0: no step is waited for."""
    cap: int
    """Requests that run at once."""
    events: list[Event]
    _waiting: deque[_Generation] = field(default_factory=deque)
    _running: list[_Generation] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while (body := await read_request(reader)) is not None:
                self.events.append((time.monotonic(), self.number, 1))
                generation = _Generation(int(json.loads(body)["max_tokens"]), writer)
                await self._generate(generation)
                self.events.append((time.monotonic(), self.number, -1))
                await writer.drain()
        writer.close()

    async def _generate(self, generation: _Generation) -> None:
        if self.step_s == 0:
            while not generation.ended.is_set():
                generation.step()
            return
        self._waiting.append(generation)
        await generation.ended.wait()

    async def step_on(self) -> None:
        """Step for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self.step_s, loop.time())
            await asyncio.sleep(due - loop.time())
            while self._waiting and len(self._running) < self.cap:
                self._running.append(self._waiting.popleft())
            for generation in self._running:
                generation.step()
            self._running = [one for one in self._running if not one.ended.is_set()]


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    """Return the body of the next request; none where the connection ended."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    return await reader.readexactly(content_length(head))


def content_length(head: bytes) -> int:
    """Return the length of the body that the headers *head* tell; 0 where they tell none."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


async def _tell_events(
    events: list[Event], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer with all events since the last time."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while await read_request(reader) is not None:
            body = json.dumps(events).encode()
            events.clear()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            await writer.drain()
    writer.close()


async def run(count: int, *, step_s: float, cap: int) -> None:
    """
    Serve at *count* free ports of 127.0.0.1, and the events at one more, until stdin ends.

    The first line of stdout is ``{"ports": [...], "events": PORT}``.
    """
    events: list[Event] = []
    backends = [
        Backend(number=number, step_s=step_s, cap=cap, events=events) for number in range(count)
    ]
    servers = [await asyncio.start_server(one.serve, "127.0.0.1", 0) for one in backends]
    told = await asyncio.start_server(
        lambda reader, writer: _tell_events(events, reader, writer), "127.0.0.1", 0
    )
    ports = [int(server.sockets[0].getsockname()[1]) for server in (*servers, told)]
    steps = [asyncio.create_task(one.step_on()) for one in backends if step_s > 0]
    print(json.dumps({"ports": ports[:-1], "events": ports[-1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in steps:
        task.cancel()
    for server in (*servers, told):
        server.close()


def main(argv: Sequence[str]) -> int:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.scripted", description=__doc__)
    parser.add_argument("--servers", type=int, default=1, help="how many")
    parser.add_argument("--step-ms", type=float, default=20, help="length of a step; 0: none")
    parser.add_argument("--cap", type=int, default=256, help="requests that run at once in each")
    told = parser.parse_args(argv)
    asyncio.run(run(told.servers, step_s=told.step_ms / 1000, cap=told.cap))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
