"""What the tests ask the balancer, and what they look at then."""

import http.client
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.balancer.real_nginx import RealNginx, answer_of
from tests.balancer.scripted_server import ScriptedServer


def statuses(nginx: RealNginx, count: int) -> Counter[int]:
    return Counter(nginx.ask().status for _ in range(count))


def reached(servers: Sequence[ScriptedServer], prompt: str) -> list[int]:
    """How often each server got *prompt*."""
    return [server.got.count(prompt) for server in servers]


def hold(nginx: RealNginx, count: int, **request: object) -> list[http.client.HTTPConnection]:
    """Send requests that stay in progress, one after another."""
    sent = []
    for _ in range(count):
        sent.append(nginx.send("hold", **request))  # type: ignore[arg-type]
        time.sleep(0.05)
    return sent


def release(servers: Sequence[ScriptedServer], held: Sequence[http.client.HTTPConnection]) -> None:
    """Let what is in progress end, all with 200."""
    for server in servers:
        server.release()
    assert {answer_of(one).status for one in held} == {200}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)
