"""The clients and the scripted servers, with each other on loopback."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from statistics import fmean

import pytest

from bench.closed_loop import Asked, ask_until, first_bytes, lengths
from bench.scripted import Backend, Event, content_length

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    """Serve on a free port of 127.0.0.1; yields it. The clients must go before the block ends."""
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        await handler(reader, writer)
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
        while not all(task is None or task.done() for task in answering):
            await asyncio.sleep(0.002)


_RUN_S = 0.4


def run_clients(*, clients: int, pooled: bool = True) -> tuple[Asked, list[Event], int]:
    """Run clients against one server with steps of 2 ms; return also how many connections came."""
    events: list[Event] = []
    backend = Backend(number=0, step_s=0.002, cap=8, events=events)
    connections = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await backend.serve(reader, writer)

    async def run() -> Asked:
        async with listening(count) as port:
            steps = asyncio.create_task(backend.step_on())
            end = time.monotonic() + _RUN_S
            asked = await ask_until(port, clients, end, pooled=pooled, run=0)
            while sum(change for _, _, change in events) > 0:
                await asyncio.sleep(0.002)
            steps.cancel()
            return asked

    return asyncio.run(run()), events, connections


def test_every_client_has_one_request_in_progress_until_the_end() -> None:
    asked, events, _ = run_clients(clients=3)

    running = peak = 0
    for _, _, change in events:
        running += change
        peak = max(peak, running)
    assert asked.failures == []
    assert asked.answers > 3
    assert (running, peak) == (0, 3)


@pytest.mark.parametrize("pooled", [True, False], ids=["pooled", "new"])
def test_a_pooled_client_has_one_connection_and_another_one_a_request(*, pooled: bool) -> None:
    asked, events, connections = run_clients(clients=2, pooled=pooled)

    came = sum(1 for _, _, change in events if change > 0)
    assert asked.failures == []
    # At the end each client may have made one more, on which no request has come yet.
    assert connections in ([2] if pooled else range(came, came + 3))


def test_a_server_streams_as_many_tokens_as_are_asked_for_and_nothing_before_the_first() -> None:
    async def run() -> tuple[bytes, bytes]:
        backend = Backend(number=0, step_s=0.02, cap=1, events=[])
        async with listening(backend.serve) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b'POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"max_tokens":3}')
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
            steps = asyncio.create_task(backend.step_on())
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"\r\n0\r\n\r\n")
            steps.cancel()
            writer.close()
            return head, body

    head, body = asyncio.run(run())

    assert head.startswith(b"HTTP/1.1 200 ")
    assert body.count(b" word") == 3
    assert body.count(b"[DONE]") == 1


def test_a_request_above_the_cap_waits_until_another_has_ended() -> None:
    async def run() -> bool:
        backend = Backend(number=0, step_s=0.05, cap=1, events=[])
        async with listening(backend.serve) as port:
            readers, writers = [], []
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b'POST / HTTP/1.1\r\nContent-Length: 16\r\n\r\n{"max_tokens":2}')
                readers.append(reader)
                writers.append(writer)
                await asyncio.sleep(0.01)
            steps = asyncio.create_task(backend.step_on())
            first_byte = asyncio.create_task(readers[1].readexactly(1))
            await readers[0].readuntil(b"[DONE]")
            waited = not first_byte.done()
            await first_byte
            await readers[1].readuntil(b"[DONE]")
            steps.cancel()
            for writer in writers:
                writer.close()
            return waited

    assert asyncio.run(run())


def test_an_answer_that_is_not_200_or_is_cut_is_a_failure_in_words() -> None:
    answers = [
        b'HTTP/1.1 503 Gone\r\nContent-Length: 6\r\n\r\n{"a":1}'[:-1],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nda",
    ]

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if answers else b"")
        await writer.drain()
        writer.close()

    async def run() -> Asked:
        async with listening(fail) as port:
            return await ask_until(port, 1, time.monotonic() + 0.25, pooled=True, run=0)

    asked = asyncio.run(run())

    assert asked.answers == 0
    assert asked.failures[0].startswith("BrokenAnswerError: HTTP/1.1 503 Gone")
    assert asked.failures[1].startswith("IncompleteReadError: ")


def test_times_to_the_first_byte_are_as_many_as_were_asked_for() -> None:
    async def run() -> list[float]:
        backend = Backend(number=0, step_s=0, cap=1, events=[])
        async with listening(backend.serve) as port:
            return await first_bytes(port, 5, pooled=True)

    times = asyncio.run(run())

    assert len(times) == 5
    assert min(times) > 0


def test_lengths_are_the_same_each_time_and_every_second_client_s_are_four_times_as_long() -> None:
    means = sorted(fmean(islice(lengths(client, 4, 0), 400)) for client in range(4))

    assert [*islice(lengths(1, 4, 0), 9)] == [*islice(lengths(1, 4, 0), 9)]
    assert [*islice(lengths(1, 4, 0), 9)] != [*islice(lengths(1, 4, 1), 9)]
    assert means == pytest.approx([8, 8, 32, 32], rel=0.15)


@pytest.mark.parametrize(
    ("head", "length"),
    [(b"POST / HTTP/1.1\r\nCONTENT-LENGTH: 12\r\n\r\n", 12), (b"GET / HTTP/1.1\r\n\r\n", 0)],
)
def test_a_body_is_as_long_as_its_header_says(head: bytes, length: int) -> None:
    assert content_length(head) == length
