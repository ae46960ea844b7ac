"""What a balancer's log says with exact times: Docker's, as Nginx writes whole seconds."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from docker.models.containers import Container

from planner.nginx.upstream import values_of

_RELOADING = re.compile(r"\(SIGHUP\) received.*reconfiguring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """
    A request as Nginx logged it; times in seconds of the wall clock.

    Attributes:
        began: when its first byte was read.
        ended: when the last byte of its answer was sent.
        tries: the servers that were tried, as ADDRESS:PORT, each with its status; ``-`` is none.
        status: what the client got.
    """

    began: float
    ended: float
    tries: tuple[tuple[str, str], ...]
    status: int

    def status_at(self, server: str) -> str | None:
        """Return what *server* answered at last; None: it was not tried."""
        return next((status for at, status in reversed(self.tries) if at == server), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerLog:
    """
    A part of the log.

    Attributes:
        sent: the requests, in the order of their ends.
        reloads: when Nginx began to load another configuration.
    """

    sent: tuple[Sent, ...]
    reloads: tuple[float, ...]

    def loaded_after(self, at: float) -> float | None:
        """Return when the first configuration was loaded that was made after *at*."""
        return min((one for one in self.reloads if one > at), default=None)


def read(container: Container, since: float) -> BalancerLog:
    """Read what Nginx in *container* wrote from *since* on, in seconds of the wall clock."""
    text = container.logs(timestamps=True, since=int(since)).decode(errors="replace")
    lines = list(_timed(text))
    return BalancerLog(
        sent=tuple(sent for at, line in lines if (sent := _sent(at, line)) is not None),
        reloads=tuple(at for at, line in lines if _RELOADING.search(line)),
    )


def _timed(text: str) -> Iterator[tuple[float, str]]:
    for line in text.splitlines():
        at, _, rest = line.partition(" ")
        if (seconds := wall_time(at)) is not None:
            yield seconds, rest


def wall_time(text: str) -> float | None:
    """
    Read a time as Docker writes it, such as ``2026-11-30T21:29:09.123456789Z``.

    Returns:
        Seconds of the wall clock; None where *text* is no time.
    """
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    if found is None:
        return None
    return datetime.fromisoformat(f"{found[1]}+00:00").timestamp() + float(found[2] or 0)


def _sent(at: float, line: str) -> Sent | None:
    if not line.startswith("{"):
        return None
    try:
        logged = json.loads(line)
        servers = values_of(logged["upstream"])
        statuses = values_of(logged["upstream_status"])
        return Sent(
            began=at - float(logged["seconds"]),
            ended=at,
            # Where no server is open, Nginx names the group and gives a status of its own.
            tries=tuple((a, b) for a, b in zip(servers, statuses, strict=True) if ":" in a),
            status=int(logged["status"]),
        )
    except (ValueError, KeyError, TypeError):
        # A line that was cut off by a kill.
        return None
