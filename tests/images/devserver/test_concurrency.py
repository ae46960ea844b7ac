"""How many requests run at once, who waits, and what happens when a client goes away."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.images.devserver.conftest import Api, Serve, question, wait_until
from tests.images.devserver.fakes import FakeGenerator

CHAT = "/v3/chat/completions"
ENDLESS = {"ignore_eos": True, "max_tokens": 90_000}


@contextmanager
def _asking(api: Api, **fields: object) -> Iterator[http.client.HTTPConnection]:
    """A connection with a request on it that is not read."""
    connection = api.connect()
    api.send(connection, "POST", CHAT, question(**fields))
    try:
        yield connection
    finally:
        connection.close()


def test_requests_run_together_up_to_one_less_than_the_workers(serve: Serve) -> None:
    model = FakeGenerator()
    api = serve(model=model, rest_workers=5)
    replies: list[int] = []

    def ask() -> None:
        replies.append(api.chat(ignore_eos=True, max_tokens=100).status)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert replies == [200] * 8
    assert model.load().peak == 4


def test_the_rest_wait_in_the_order_they_came(serve: Serve) -> None:
    model = FakeGenerator()
    model.may_step.clear()
    api = serve(model=model, rest_workers=2)
    clients: list[threading.Thread] = []

    def all_arrived() -> bool:
        return len(model.prompts) + _queued(api) == len(clients)

    for name in ("first", "second", "third"):
        fields = {"messages": [{"role": "user", "content": name}]}
        clients.append(threading.Thread(target=api.chat, kwargs=fields))
        clients[-1].start()
        wait_until(all_arrived)

    assert model.prompts == ["first"]
    assert api.metric("ovms_current_graphs") == 1
    assert _queued(api) == 2

    model.may_step.set()
    for client in clients:
        client.join()
    assert model.prompts == ["first", "second", "third"]


def test_health_answers_while_every_worker_is_taken(serve: Serve) -> None:
    model = FakeGenerator()
    model.may_step.clear()
    api = serve(model=model, rest_workers=2)

    with _asking(api), _asking(api):
        wait_until(lambda: _queued(api) == 1)
        assert api.call("GET", "/v2/health/ready").status == 200
    model.may_step.set()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_a_generation_ends_when_its_client_goes_away(serve: Serve, *, stream: bool) -> None:
    model = FakeGenerator()
    api = serve(model=model)

    with _asking(api, stream=stream, **ENDLESS):
        wait_until(lambda: model.load().tokens > 10)
        assert model.load().running == 1

    wait_until(lambda: model.load().running == 0)
    tokens = model.load().tokens
    assert api.chat(max_tokens=1).status == 200
    assert model.load().tokens == tokens + 1
    assert api.metric("ovms_current_graphs") == 0


def test_a_client_that_leaves_the_queue_never_reaches_the_engine(serve: Serve) -> None:
    model = FakeGenerator()
    api = serve(model=model, rest_workers=2)

    with _asking(api, **ENDLESS):
        wait_until(lambda: model.load().running == 1)
        with _asking(api, messages=[{"role": "user", "content": "left"}]):
            wait_until(lambda: _queued(api) == 1)
        wait_until(lambda: _queued(api) == 0)
    wait_until(lambda: model.load().running == 0)

    assert api.chat().status == 200
    assert model.prompts == ["Hi", "Hi"]


def test_a_connection_is_kept_for_the_next_request(serve: Serve) -> None:
    api = serve()
    with _asking(api, max_tokens=1) as connection:
        api.read(connection.getresponse())
        before = connection.sock
        api.send(connection, "POST", CHAT, question(stream=True, max_tokens=1))
        assert api.read(connection.getresponse()).status == 200

        assert connection.sock is before


def _queued(api: Api) -> int:
    return int(api.metric("devserver_queued_requests"))
