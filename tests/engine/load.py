"""Clients that ask without pause and without retries, and remember what they got."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TOKENS = 48


@dataclass(kw_only=True)
class Load:
    """What the clients saw: answers by upstream address, and each failure in words."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, upstream: str) -> None:
        with self.lock:
            self.answers[upstream] += 1

    def failed(self, what: str) -> None:
        with self.lock:
            self.failures.append(what)


@contextmanager
def clients(endpoint: str, model: str, *, count: int) -> Iterator[Load]:
    """Keep *count* clients asking, every second one streaming, until the block ends."""
    load = Load()
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=_ask_until, args=(endpoint, model, bool(n % 2), stop, load), daemon=True
        )
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=120)
            if thread.is_alive():
                load.failed("a request hangs")


def _ask_until(endpoint: str, model: str, stream: bool, stop: threading.Event, load: Load) -> None:
    url = urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=120)
    while not stop.is_set():
        try:
            load.answered(_ask(connection, f"{url.path}/chat/completions", model, stream))
        except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
            load.failed(f"{type(error).__name__}: {error}")
            connection.close()
            stop.wait(0.2)
    connection.close()


def _ask(connection: http.client.HTTPConnection, path: str, model: str, stream: bool) -> str:
    """Ask once, check the whole answer, and return the address that gave it."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Count from one to one hundred in words."}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": stream,
    }
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 200:
        raise AssertionError(f"status {response.status}: {text[:200]}")
    finish = _finish_of_stream(text) if stream else json.loads(text)["choices"][0]["finish_reason"]
    if finish not in ("stop", "length"):
        raise AssertionError(f"finish reason {finish!r} in {text[-200:]!r}")
    return response.headers["X-Upstream"] or ""


def _finish_of_stream(text: str) -> str | None:
    """Return the finish reason of a whole stream; one without `[DONE]` was cut."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    if not lines or lines[-1] != "[DONE]":
        raise AssertionError(f"a stream was cut: it ends with {text[-80:]!r}")
    reasons = [
        choice.get("finish_reason")
        for line in lines[:-1]
        for choice in json.loads(line).get("choices", [])
    ]
    return next((reason for reason in reasons if reason), None)


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 180) -> None:
    """Wait until *condition* holds, such as that so many answers came."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.1)
