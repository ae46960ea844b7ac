"""What a hostile client says of a server that ends it, or lets it be."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.engine.hostile import one_client

Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _sends() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 1000
        await asyncio.sleep(0.01)


def ended(serve: Serving, *, limit_s: float = 20) -> tuple[str, float]:
    async def both() -> tuple[str, float]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await one_client("127.0.0.1", port, _sends, limit_s=limit_s)

    return asyncio.run(both())


async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 413 Too Large\r\n\r\n")
    await writer.drain()
    writer.close()


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write_eof()
    while await reader.read(1000):
        pass
    writer.close()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    no_linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    writer.transport.abort()


async def bears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass
    writer.close()


@pytest.mark.parametrize(
    ("serve", "how"),
    [(refuses, "status 413"), (closes, "closed"), (resets, "reset")],
    ids=["refuses", "closes", "resets"],
)
def test_how_the_server_ends_a_client_is_told(serve: Serving, how: str) -> None:
    assert ended(serve)[0] == how


def test_a_client_that_nobody_ends_ends_itself() -> None:
    how, took = ended(bears, limit_s=0.3)

    assert how == "open after 0.3 s"
    assert took >= 0.3


def test_a_client_that_is_not_let_in_says_so() -> None:
    how, _ = asyncio.run(one_client("127.0.0.1", 1, _sends))

    assert how == "not connected"
