"""Strikes a stack while clients ask, and measures what that does to their requests."""

import time
from collections.abc import Sequence

from bench.record import Record
from tests.engine.bench_requests import Request
from tests.engine.docker_events import DockerEvents
from tests.engine.faults import Fault, Struck
from tests.engine.faults_measured import Down, Measured
from tests.engine.faults_seen import Seen
from tests.engine.faults_site import Site
from tests.engine.openness import Openness
from tests.engine.rolling_load import Clients, Mix

_SETTLE_S = 3.0
_PATIENCE_S = 240.0
"""The longest that a client waits for its whole answer."""
_PAUSE_S = 0.2
"""How long a client waits after a failure; else it would ask a stack that is away all the time."""


def measure(site: Site, fault: Fault, mix: Mix) -> Measured:
    """
    Strike *site* once while clients ask, and wait until all is as before.

    Raises:
        TimeoutError: not every instance answered before it was struck.
    """
    with (
        Clients(site.endpoint, mix, timeout_s=_PATIENCE_S, pause_s=_PAUSE_S) as clients,
        DockerEvents(site.stack.client) as events,
    ):
        clients.until_all_answer(len(site.servers))
        with Openness(site.stack) as openness:
            time.sleep(_SETTLE_S)
            struck = fault.strike(site)
            try:
                healed = fault.healed(site, openness, struck)
            finally:
                site.go_on()
            healed_s = time.monotonic() - struck.at if healed else None
            healed = healed and _all_answer(clients, len(site.servers))
        records = clients.end(cut=fault.what.queues)
    seen = Seen.of(site, struck, openness.looks, events.seen)
    downs = tuple(seen.downs())
    if downs and not fault.what.balances:
        ends = [down.opened_s for down in downs]
        healed_s = None if None in ends else max(end for end in ends if end is not None)
    new = seen.new_until(healed_s)
    return Measured(
        what=fault.what,
        requests=tuple(Request.of(record, struck.at) for record in records),
        in_flight=_in_flight(seen, struck, downs, records),
        began=len(new),
        stuck=sum(seen.is_stuck(sent, downs) for sent in new),
        least_open=min(
            (len(look.opened) for look in openness.looks if look.at > struck.at),
            default=len(site.servers),
        ),
        healed_s=round(healed_s, 1) if healed and healed_s is not None else None,
        downs=downs,
        over_s=0.0 if struck.over is None else round(struck.over - struck.at, 3),
        victims=struck.victims,
        hostile=struck.hostile,
        killer_got=struck.killer_got,
    )


def _all_answer(clients: Clients, count: int) -> bool:
    try:
        clients.until_all_answer(count)
    except TimeoutError:
        return False
    return True


def _in_flight(seen: Seen, struck: Struck, downs: Sequence[Down], records: Sequence[Record]) -> int:
    """Count what was in flight at the struck instances; where the balancer was struck, all."""
    over = struck.at if struck.over is None else struck.over
    victims = struck.victims or tuple(down.instance for down in downs)
    if not victims:
        return sum(one.started <= over and struck.at < one.ended for one in records)
    return sum(
        sent.began <= over + seen.ahead
        and seen.struck_at < sent.ended
        and seen.tried(sent, victims)
        for sent in seen.log.sent
    )
