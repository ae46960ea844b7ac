"""Clients that no balancer wants: slow, silent, too large, or too many. Bounded in all they do."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from bench.open_files import allow_connections
from tests.engine.faults_measured import Hostile

LIMIT_S = 40.0
"""How long a client goes on where nobody ends it."""

_EVERY_S = 0.5
_LARGE_BYTES = 100 << 20
_PART = b"x" * (1 << 16)
_POST = b"POST /v3/chat/completions HTTP/1.1\r\nHost: hostile\r\nContent-Type: application/json\r\n"

Sending = Callable[[], AsyncIterator[bytes]]


async def _slowly(begin: bytes) -> AsyncIterator[bytes]:
    yield begin
    while True:
        await asyncio.sleep(_EVERY_S)
        yield b"x"


async def _then_silent(begin: bytes) -> AsyncIterator[bytes]:
    yield begin


async def _large(begin: bytes, *, chunked: bool) -> AsyncIterator[bytes]:
    yield begin
    for _ in range(_LARGE_BYTES // len(_PART)):
        yield b"10000\r\n" + _PART + b"\r\n" if chunked else _PART


KINDS: Mapping[str, tuple[int, Sending]] = {
    "headers byte by byte": (50, lambda: _slowly(_POST + b"X-Slow: ")),
    "body byte by byte": (50, lambda: _slowly(_POST + b"Content-Length: 4000\r\n\r\n{")),
    "a body that does not come": (
        50,
        lambda: _then_silent(_POST + b"Content-Length: 4000\r\n\r\n{"),
    ),
    "a body of 100 MiB": (
        4,
        lambda: _large(_POST + b"Content-Length: %d\r\n\r\n" % _LARGE_BYTES, chunked=False),
    ),
    "a body of 100 MiB in chunks": (
        4,
        lambda: _large(_POST + b"Transfer-Encoding: chunked\r\n\r\n", chunked=True),
    ),
    "idle": (1000, lambda: _then_silent(b"")),
}
"""What they do, by name: how many there are, and what each sends."""


def harass(host: str, port: int) -> tuple[Hostile, ...]:
    """Let all kinds of clients come at once, and return what became of them."""
    allow_connections(sum(count for count, _ in KINDS.values()))
    return asyncio.run(_all(host, port))


async def _all(host: str, port: int) -> tuple[Hostile, ...]:
    return tuple(
        await asyncio.gather(
            *(_kind(name, count, sending, host, port) for name, (count, sending) in KINDS.items())
        )
    )


async def _kind(name: str, count: int, sending: Sending, host: str, port: int) -> Hostile:
    ends = await asyncio.gather(*(one_client(host, port, sending) for _ in range(count)))
    times = [took for _, took in ends]
    return Hostile(
        kind=name,
        clients=count,
        ends=dict(sorted(Counter(how for how, _ in ends).items())),
        shortest_s=round(min(times), 1),
        longest_s=round(max(times), 1),
    )


async def one_client(
    host: str, port: int, sending: Sending, *, limit_s: float = LIMIT_S
) -> tuple[str, float]:
    """
    Be one client.

    Returns:
        How its connection ended, in words, and after how many seconds.
    """
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return "not connected", time.monotonic() - began
    talking = asyncio.create_task(_talk(writer, sending()))
    try:
        async with asyncio.timeout(limit_s):
            how = await _heard(reader)
    except TimeoutError:
        how = f"open after {limit_s:g} s"
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return how, time.monotonic() - began


async def _talk(writer: asyncio.StreamWriter, sending: AsyncIterator[bytes]) -> None:
    async for data in sending:
        writer.write(data)
        await writer.drain()


async def _heard(reader: asyncio.StreamReader) -> str:
    """Return the status of the answer, or how the connection ended without one."""
    try:
        line = await reader.readline()
    except OSError:
        return "reset"
    words = line.decode(errors="replace").split()
    return f"status {words[1]}" if len(words) > 1 else "closed"
