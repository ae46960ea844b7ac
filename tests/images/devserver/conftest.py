"""The API on a real port, over engines of the tests' own."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

import uvicorn

from images.devserver.devserver.app import make_app
from images.devserver.devserver.metrics import Metrics
from images.devserver.devserver.registry import Registry
from images.devserver.devserver.server import bind
from tests.images.devserver.fakes import FakeGenerator

MODEL = "m"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, headers in lower case, and text."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)

    def events(self) -> list[Any]:
        """The stream's JSON objects; checks that [DONE] ends it."""
        lines = [line.removeprefix("data: ") for line in self.text.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]


@dataclass(frozen=True, slots=True)
class Api:
    """A served API."""

    port: int

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(self, method: str, path: str, body: object = None) -> Reply:
        connection = self.connect()
        try:
            self.send(connection, method, path, body)
            return self.read(connection.getresponse())
        finally:
            connection.close()

    def send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: object = None
    ) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        connection.request(method, path, None if body is None else raw, headers)

    def read(self, response: http.client.HTTPResponse) -> Reply:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read().decode())

    def chat(self, **fields: object) -> Reply:
        return self.call("POST", "/v3/chat/completions", question(**fields))

    def metric(self, name: str) -> float:
        """The sum of metric *name* over its labels."""
        lines = self.call("GET", "/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def question(**fields: object) -> dict[str, object]:
    """A chat request, with *fields* on top."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **fields}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until *condition* holds; fail after 60 s."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come true within 60 s"
        time.sleep(0.005)


Serve = Callable[..., Api]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a registry; by default of one model that is loaded."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(_serving(*args, **options))


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """One server for the tests that change nothing: starting and stopping costs 0.2 s."""
    with _serving() as served:
        yield served


@contextmanager
def _serving(
    registry: Registry | None = None,
    *,
    model: FakeGenerator | None = None,
    rest_workers: int = 9,
    metrics_enable: bool = True,
) -> Iterator[Api]:
    metrics = Metrics()
    if registry is None:
        registry = Registry(started=True)
        generator = model or FakeGenerator()
        registry.add(MODEL, generator)
        metrics.watch(MODEL, generator.load)
    app = make_app(registry, metrics, rest_workers=rest_workers, metrics_enable=metrics_enable)
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Api(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        for _, loaded in registry.available():
            loaded.close()
