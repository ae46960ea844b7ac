"""The load of `rolling_load`, on a scripted server instead of a stack."""

import asyncio
from collections.abc import Callable

import pytest

from bench.record import Record
from tests.bench.scripted_server import Script, Server, serving
from tests.engine.rolling_load import Clients, Mix, lost

MIX = Mix(clients=3, streams=2, short_tokens=4, long_tokens=9)
ADDRESSES = ("10.0.0.1:8000", "10.0.0.2:8000")


def script(number: int) -> Script:
    """Two instances in turn, and every tenth answer is cut."""
    cut = 1 if number % 10 == 5 else None
    return Script(delays_s=(0.01, 0.01), upstream=ADDRESSES[number % 2], close_after=cut)


def asked(act: Callable[[Clients], list[Record]]) -> tuple[Server, list[Record]]:
    """Have clients ask a server of their own while *act* runs; return both's view of it."""

    async def both() -> tuple[Server, list[Record]]:
        async with serving(script) as server:
            return server, await asyncio.to_thread(ask, server)

    def ask(server: Server) -> list[Record]:
        with Clients(server.url.removesuffix("/chat/completions"), MIX) as clients:
            return act(clients)

    return asyncio.run(both())


def test_short_requests_and_long_streams_run_at_once_and_each_is_accounted_for() -> None:
    def act(clients: Clients) -> list[Record]:
        clients.until_all_answer(2)
        clients.until_answers(30)
        return clients.end()

    server, records = asked(act)

    asked_for = [body["max_completion_tokens"] for body in server.bodies]
    assert set(asked_for) == {MIX.short_tokens, MIX.long_tokens}
    assert server.most == MIX.clients + MIX.streams
    assert len(records) == len(server.bodies) > 30
    assert len(lost(records)) == sum(number % 10 == 5 for number in range(len(records))) > 0
    assert all("cut: " in words for words in lost(records))


def test_what_fails_in_the_block_ends_the_clients_too() -> None:
    def act(clients: Clients) -> list[Record]:
        clients.until_answers(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        asked(act)
