"""Clients that each ask again as soon as they have their answer, over connections of their own."""

import asyncio
import json
import math
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from bench.scripted import content_length

_SEED = 20261130
_HEAVY = 4
"""Every second client, in a shuffled order, asks for answers that are so many times as long."""
_TOKENS = 8
"""Mean length of a light client's answers."""
_SIGMA = 0.5
"""Of the lognormal distribution of lengths."""


class BrokenAnswerError(Exception):
    """An answer that is not 200, or was cut."""


@dataclass(kw_only=True)
class Asked:
    """What the clients of one run saw."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)


def lengths(client: int, clients: int, run: int) -> Iterator[int]:
    """Yield how many tokens *client* of so many asks for in *run*; always the same, without end."""
    order = list(range(clients))
    random.Random(f"{_SEED} {run} {clients}").shuffle(order)  # noqa: S311 (no secret)
    mean = _TOKENS * (_HEAVY if order.index(client) % 2 else 1)
    drawn = random.Random(f"{_SEED} {run} {clients} {client}")  # noqa: S311 (no secret)
    # So that the mean of what is drawn is the mean that is wanted.
    middle = math.log(mean) - _SIGMA**2 / 2
    while True:
        yield max(1, round(drawn.lognormvariate(middle, _SIGMA)))


async def ask_until(port: int, clients: int, end: float, *, pooled: bool, run: int) -> Asked:
    """
    Have *clients* clients ask until *end*, and break off what they ask then.

    Args:
        port: of 127.0.0.1.
        clients: how many ask at once, each naming a session of its own.
        end: on the monotonic clock, in seconds.
        pooled: each client keeps its connection; else each request has a new one.
        run: which run of several; each has other lengths and other sessions.
    """
    asked = Asked()
    tasks = []
    for client in range(clients):
        one = _Client(port, f"{run}-{pooled}-{client}", pooled=pooled)
        tasks.append(asyncio.create_task(one.ask_on(lengths(client, clients, run), asked)))
    await asyncio.wait(tasks, timeout=end - time.monotonic())
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise RuntimeError("a client ended by itself") from ended
    return asked


async def first_bytes(port: int, count: int, *, pooled: bool) -> list[float]:
    """Ask *count* times for one token, one after another; return each time to the first byte, s."""
    client = _Client(port, "first-byte", pooled=pooled)
    times = [await client.ask(1) for _ in range(count)]
    client.close()
    return times


class _Client:
    def __init__(self, port: int, session: str, *, pooled: bool) -> None:
        self._port, self._session, self._pooled = port, session, pooled
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask_on(self, tokens: Iterator[int], asked: Asked) -> None:
        try:
            while True:
                try:
                    await self.ask(next(tokens))
                    asked.answers += 1
                except (OSError, EOFError, BrokenAnswerError) as error:
                    asked.failures.append(f"{type(error).__name__}: {error}")
                    self.close()
                    await asyncio.sleep(0.1)
        finally:
            self.close()

    async def ask(self, tokens: int) -> float:
        """Ask once; return the seconds to the first byte of the answer, a connection included."""
        began = time.perf_counter()
        reader, writer = self._open or await asyncio.open_connection("127.0.0.1", self._port)
        self._open = (reader, writer)
        body = json.dumps({"model": "none", "max_tokens": tokens, "stream": True}).encode()
        writer.write(
            b"POST /v3/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            b"X-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (self._session.encode(), len(body), body)
        )
        first = await reader.readexactly(1)
        took = time.perf_counter() - began
        await _read_answer(first, reader)
        if not self._pooled:
            self.close()
        return took

    def close(self) -> None:
        """Close the connection, where there is one."""
        if self._open is not None:
            with suppress(OSError):
                self._open[1].close()
            self._open = None


async def _read_answer(first: bytes, reader: asyncio.StreamReader) -> None:
    head = first + await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        body = await reader.readexactly(content_length(head))
        raise BrokenAnswerError(f"{head.splitlines()[0].decode()}: {body[:200].decode()}")
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        await reader.readexactly(size + 2)
        if size == 0:
            return
