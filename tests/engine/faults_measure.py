"""Strikes a stack while clients ask, and measures what that does to their requests."""

import asyncio
import time
from collections.abc import Sequence

from bench.record import Record
from tests.engine.bench_clients import Clients, Kind
from tests.engine.bench_requests import Request
from tests.engine.faults import Fault, Struck
from tests.engine.faults_measured import Down, Measured
from tests.engine.faults_seen import Seen
from tests.engine.faults_site import Site
from tests.engine.openness import Openness

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
    seen = Seen.of(site, struck, openness.looks)
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


def _in_flight(seen: Seen, struck: Struck, downs: Sequence[Down], records: Sequence[Record]) -> int:
    """Count what was in flight at the struck instances; where the balancer was struck, all."""
    victims = struck.victims or tuple(down.instance for down in downs)
    if not victims:
        return sum(one.started <= struck.at < one.ended for one in records)
    return sum(
        sent.began <= seen.struck_at < sent.ended and seen.tried(sent, victims)
        for sent in seen.log.sent
    )
