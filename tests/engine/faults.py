"""The faults of `bench_faults`: how each is made, and when all is as before."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.engine.faults_measured import Hostile, What
from tests.engine.faults_site import Site
from tests.engine.hostile import harass
from tests.engine.openness import Openness
from tests.engine.test_up import INSTANCES

VICTIM = INSTANCES[0]
MASTER, WORKER, WATCHER = "nginx: master process", "nginx: worker process", "watch.sh"

QUEUE_S = 90.0
"""How long a long queue is looked at."""

_CLOSED_WITHIN_S = 60.0
_OPEN_WITHIN_S = 180.0
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """
    That a fault struck.

    Attributes:
        at: when, in seconds of `time.monotonic`.
        over: when what it killed had ended; as long as it ends, requests still reach it.
        victims: the instances that it struck, where that is known before.
        gone: words of the processes of the balancer that it ended one of, and all that there were.
        hostile: what became of hostile clients.
        killer_got: what the client of the killing request got.
    """

    at: float
    over: float | None = None
    victims: tuple[str, ...] = ()
    gone: tuple[str, frozenset[int]] | None = None
    hostile: tuple[Hostile, ...] = ()
    killer_got: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    A fault.

    Attributes:
        what: of it.
        strike: makes it.
        healed: waits until all is as before; False: it did not come so far.
    """

    what: What
    strike: Callable[[Site], Struck]
    healed: Callable[[Site, Openness, Struck], bool]


def faults() -> Iterator[Fault]:
    """Yield all, those of the same settings one after the other."""
    yield of_server("SIGKILL of a server", _kill, kills=True)
    yield of_server("SIGSTOP of a server", _stop, hangs=True)
    yield of_server("every connection reset", _asked_for("reset"))
    yield of_server("503 for a minute", _asked_for("unavailable?seconds=60"))
    yield of_server("out of memory", _take_memory, kills=True)
    yield of_balancer("SIGKILL of an Nginx worker", WORKER)
    yield of_balancer("SIGKILL of the Nginx master", MASTER)
    yield of_balancer("SIGKILL of the watcher", WATCHER)
    yield Fault(
        what=What(name="hostile clients", downs=0, balances=True),
        strike=_harass,
        healed=lambda *_: True,
    )
    yield of_server("SIGKILL of a server", _kill, kills=True, retry="waiting")
    yield of_server("a killing request", _send_deadly, kills=True, instances=3)
    yield of_server(
        "a killing request", _send_deadly, kills=True, instances=3, retry="waiting", downs=2
    )


def queue() -> Fault:
    """Return what is no fault: so many requests that they wait for more than a minute."""

    def wait(*_: object) -> bool:
        time.sleep(QUEUE_S)
        return True

    what = What(name="a long queue", downs=0, queues=True)
    return Fault(what=what, strike=lambda _: Struck(at=time.monotonic()), healed=wait)


def of_server(
    name: str,
    strike: Callable[[Site], Struck],
    *,
    kills: bool = False,
    hangs: bool = False,
    retry: str = "unsent",
    instances: int = 2,
    downs: int = 1,
) -> Fault:
    """Return a fault of a server: it is closed, and then open again with all others."""
    what = What(name=name, retry=retry, instances=instances, kills=kills, hangs=hangs, downs=downs)
    return Fault(what=what, strike=strike, healed=_all_open_again)


def of_balancer(name: str, words: str) -> Fault:
    """Return the end of a process of the balancer: another one is there after it."""

    def strike(site: Site) -> Struck:
        deadline = time.monotonic() + _CLOSED_WITHIN_S
        while time.monotonic() < deadline:
            # The watcher is a process for the time of a look, which may end meanwhile.
            with suppress(ProcessLookupError):
                if found := site.balancer(words):
                    at = site.kill(found[0])
                    over = site.until_ended(found[0])
                    return Struck(at=at, over=over, gone=(words, frozenset(found)))
        raise TimeoutError(f"the balancer has no process {words}")

    what = What(name=name, kills=True, downs=0, balances=True)
    return Fault(what=what, strike=strike, healed=_another_is_there)


def _kill(site: Site) -> Struck:
    pid = site.server(VICTIM)
    at = site.kill(pid)
    return Struck(at=at, over=site.until_ended(pid), victims=(VICTIM,))


def _stop(site: Site) -> Struck:
    return Struck(at=site.stop(VICTIM), victims=(VICTIM,))


def _asked_for(fault: str) -> Callable[[Site], Struck]:
    return lambda site: Struck(at=site.ask_for(VICTIM, fault), victims=(VICTIM,))


def _take_memory(site: Site) -> Struck:
    """It strikes when the kernel ends the server, some seconds after that began to take memory."""
    pid = site.server(VICTIM)
    site.ask_for(VICTIM, "memory")
    at = site.until_one_ends([pid])
    return Struck(at=at, over=site.until_ended(pid), victims=(VICTIM,))


def _send_deadly(site: Site) -> Struck:
    """It strikes when the first server reads it, some time after it was sent."""
    pids = [site.server(name) for name in site.servers]
    with ThreadPoolExecutor(max_workers=1) as client:
        got = client.submit(site.send_deadly)
        at = site.until_one_ends(pids)
        over = site.until_ended(*pids)
        return Struck(at=at, over=over, killer_got=got.result())


def _harass(site: Site) -> Struck:
    at, url = time.monotonic(), urlsplit(site.endpoint)
    return Struck(at=at, hostile=harass(url.hostname or "", url.port or 80))


def _all_open_again(_: Site, openness: Openness, struck: Struck) -> bool:
    def closed() -> bool:
        looks = [look for look in openness.looks if look.at > struck.at]
        return any(look.opened != look.members for look in looks)

    def opened() -> bool:
        return openness.looks[-1].opened == openness.looks[-1].members

    return within(_CLOSED_WITHIN_S, closed) and within(_OPEN_WITHIN_S, opened)


def _another_is_there(site: Site, openness: Openness, struck: Struck) -> bool:
    assert struck.gone is not None
    words, before = struck.gone

    def there() -> bool:
        return not before.issuperset(site.balancer(words))

    def opened() -> bool:
        look = openness.looks[-1]
        return look.at > struck.at and look.opened == look.members

    return within(_CLOSED_WITHIN_S, there) and within(_OPEN_WITHIN_S, opened)


def within(limit_s: float, condition: Callable[[], bool]) -> bool:
    """Wait until *condition* holds; False where it does not within *limit_s* seconds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
