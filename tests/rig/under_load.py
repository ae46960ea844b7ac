"""What a fault of the rig costs the requests of a few clients; it is emulated, and slow."""

import time
from collections.abc import Callable

from tests.engine.bench_requests import Request
from tests.engine.faults_measured import Measured, What
from tests.engine.rolling_load import Clients, Mix
from tests.rig.reached import Rig
from tests.rig.serving import Served, seconds_until

MIX = Mix(clients=2, streams=2, short_tokens=16, long_tokens=200)
FULL_S = 60.0
"""How long the disk is full."""
MOST_LEFT_KIB = 1024

_PATIENCE_S = 240.0

_FILL = """\
for size in 256M 16M 1M 64K 4K; do
    while fallocate -l $size /var/lib/docker/ballast-$(cat /proc/sys/kernel/random/uuid); do :; done
done 2>/dev/null
sync
df --output=avail /var/lib/docker | tail -n 1
"""
_MAKE_SPACE = "rm -f /var/lib/docker/ballast-*"


def struck(served: Served, name: str, strike: Callable[[], float]) -> Measured:
    """
    Strike the rig while clients ask, and wait until all of it serves again.

    Args:
        served: the stack on it.
        name: of the fault.
        strike: makes it; returns when, as a monotonic time.
    """
    endpoint = f"http://127.0.0.1:{served.port}/v3"
    instances = len(served.rows)
    with Clients(endpoint, MIX, paced=True, model=served.model, timeout_s=_PATIENCE_S) as clients:
        clients.until_all_answer(instances)
        began = time.monotonic()
        healed_s = seconds_until(served.all_answer, since=strike())
        clients.until_all_answer(instances)
        requests = tuple(Request.of(record, began) for record in clients.end())
    return Measured(
        what=What(name=name, instances=instances, balances=True),
        requests=requests,
        in_flight=sum(one.started <= 0 < one.ended for one in requests),
        began=sum(0 < one.started < healed_s for one in requests),
        stuck=0,
        least_open=0,
        healed_s=round(healed_s, 1),
        downs=(),
    )


def full_disk(rig: Rig) -> float:
    """
    Fill the disk with Docker's files for a while.

    Returns:
        When there was space again, as a monotonic time.
    """
    try:
        left = int(rig.administer(_FILL))
        assert left < MOST_LEFT_KIB, f"{left} KiB are left"
        time.sleep(FULL_S)
    finally:
        rig.administer(_MAKE_SPACE)
    return time.monotonic()
