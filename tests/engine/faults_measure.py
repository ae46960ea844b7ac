"""Strikes a stack while clients ask, and measures what that does to their requests."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.record import Record
from tests.engine import balancer_log
from tests.engine.balancer_log import BalancerLog, Sent
from tests.engine.bench_clients import Clients, Kind
from tests.engine.bench_requests import Request
from tests.engine.faults import Fault, Struck
from tests.engine.faults_measured import Down, Measured
from tests.engine.faults_site import Site
from tests.engine.openness import Look, Openness

_SETTLE_S = 3.0
_ANSWER_WITHIN_S = 120.0
_PATIENCE_S = 240.0
"""The longest that a client waits for its whole answer."""


async def measure(site: Site, fault: Fault, kinds: Sequence[Kind]) -> Measured:
    """
    Strike *site* once while clients of *kinds* ask, and wait until all is as before.

    Raises:
        TimeoutError: not every instance answered before it was struck.
    """
    clients = Clients(site.endpoint, kinds, timeout_s=_PATIENCE_S)
    clients.start()
    await asyncio.wait_for(clients.until_all_answer(len(site.servers)), _ANSWER_WITHIN_S)
    with Openness(site.stack) as openness:
        await asyncio.sleep(_SETTLE_S)
        struck = await asyncio.to_thread(fault.strike, site)
        try:
            healed = await asyncio.to_thread(fault.healed, site, openness, struck)
        finally:
            site.go_on()
        healed_s = time.monotonic() - struck.at if healed else None
        healed = healed and await _all_answer(clients, len(site.servers))
    records = await clients.end(cut=fault.what.queues)
    seen = _Seen.of(site, struck, openness.looks)
    downs = tuple(seen.downs())
    if downs and not fault.what.balances:
        ends = [down.opened_s for down in downs]
        healed_s = None if None in ends else max(end for end in ends if end is not None)
    return Measured(
        what=fault.what,
        requests=tuple(Request.of(record, struck.at) for record in records),
        in_flight=_in_flight(seen, struck, downs, records),
        began=len(seen.new_until(healed_s)),
        stuck=sum(seen.is_stuck(sent, downs) for sent in seen.new_until(healed_s)),
        least_open=min(len(look.opened) for look in openness.looks if look.at > struck.at),
        healed_s=round(healed_s, 1) if healed and healed_s is not None else None,
        downs=downs,
        hostile=struck.hostile,
        killer_got=struck.killer_got,
    )


async def _all_answer(clients: Clients, count: int) -> bool:
    try:
        await asyncio.wait_for(clients.until_all_answer(count), _ANSWER_WITHIN_S)
    except TimeoutError:
        return False
    return True


def _in_flight(
    seen: "_Seen", struck: Struck, downs: Sequence[Down], records: Sequence[Record]
) -> int:
    """Count what was in flight at the struck instances; where the balancer was struck, all."""
    victims = struck.victims or tuple(down.instance for down in downs)
    if not victims:
        return sum(one.started <= struck.at < one.ended for one in records)
    return sum(
        sent.began <= seen.struck_at < sent.ended and seen.tried(sent, victims)
        for sent in seen.log.sent
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What Docker, the balancer's log and its files say; times of the wall clock in seconds."""

    site: Site
    struck_at: float
    ahead: float
    """How far the wall clock is ahead of `time.monotonic`."""
    looks: Sequence[Look]
    log: BalancerLog
    out_of_memory: set[str]

    @classmethod
    def of(cls, site: Site, struck: Struck, looks: Sequence[Look]) -> "_Seen":
        ahead = time.time() - time.monotonic()
        at = struck.at + ahead
        log = balancer_log.read(site.stack.container("balancer"), at)
        return cls(site, at, ahead, looks, log, site.out_of_memory(at, time.time()))

    def tried(self, sent: Sent, instances: Sequence[str]) -> bool:
        """Tell whether a request was sent to one of *instances*."""
        return any(sent.status_at(self.site.upstream(name)) is not None for name in instances)

    def new_until(self, healed_s: float | None) -> list[Sent]:
        """Return the requests that began after it struck, until all was as before."""
        end = float("inf") if healed_s is None else self.struck_at + healed_s
        return [sent for sent in self.log.sent if self.struck_at < sent.began < end]

    def is_stuck(self, sent: Sent, downs: Sequence[Down]) -> bool:
        """Tell whether a new request was sent to an instance that did not answer it."""
        return any(
            sent.status_at(self.site.upstream(down.instance)) not in (None, "200")
            and sent.began < self.struck_at + (down.restarted_s or float("inf"))
            for down in downs
        )

    def downs(self) -> Iterator[Down]:
        """Tell of each instance that was closed or restarted."""
        for name, started in self.site.started().items():
            restarted = started if started > self.struck_at else None
            closed = self._change(name, opened=False, after=self.struck_at)
            if closed is None and restarted is None:
                continue
            opened = closed and self._change(name, opened=True, after=closed)
            loaded = restarted and self.site.loaded(name, restarted)
            yield Down(
                instance=name,
                reason=self._reason(name),
                closed_s=self._since(closed),
                restarted_s=self._since(restarted),
                load_s=round(loaded - restarted, 1) if loaded and restarted else None,
                opened_s=self._since(opened),
                early=self._early(name, restarted, opened or loaded),
                out_of_memory=name in self.out_of_memory,
            )

    def _change(self, name: str, *, opened: bool, after: float) -> float | None:
        """Return when Nginx loaded that *name* is opened, or closed; None: it never was."""
        before = after
        for look in self.looks:
            at = look.at + self.ahead
            if at > after and (name in look.opened) == opened:
                loaded = self.log.loaded_after(before)
                return at if loaded is None or loaded > at + 1 else loaded
            before = max(before, at)
        return None

    def _reason(self, name: str) -> str:
        start = self.struck_at - self.ahead
        reasons = [look.unwell.get(name, "") for look in self.looks if look.at > start]
        return next((reason for reason in reasons if reason), "")

    def _early(self, name: str, restarted: float | None, served: float | None) -> int:
        if restarted is None:
            return 0
        end = float("inf") if served is None else served
        return sum(
            restarted < sent.began < end and self.tried(sent, (name,)) for sent in self.log.sent
        )

    def _since(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.struck_at, 1)
