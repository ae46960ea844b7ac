"""
What a stack's balancer answered, out of its log: by instance, status and time to the first byte.

Its log holds what Docker kept of it; the lines of Nginx's own messages are passed over.
"""

import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lifecycle.errors import LifecycleError
from lifecycle.found import BALANCER, Found, find_stack
from lifecycle.member import member_address, member_path, members
from lifecycle.stack_file import StackFile
from planner.nginx.upstream import servers_of, values_of
from planner.table import aligned

_SPAN = re.compile(r"([1-9][0-9]*)([smhd])")
_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HEADINGS = (
    "answered by", "requests", "share", "statuses", "cut", "second tries",
    "first byte p50", "first byte p99", "whole p50", "whole p99",
)  # fmt: skip
_NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    A request as Nginx logged it.

    Attributes:
        upstream: ADDRESS:PORT of the server that was tried last; empty: none was.
        tries: how many servers were tried.
        status: what the client got.
        first_byte_s: seconds from the last try until its answer's first byte; none: none came.
        whole_s: seconds from the client's first byte until the answer's last.
        is_whole: whether all of the answer was sent.
    """

    upstream: str
    tries: int
    status: int
    first_byte_s: float | None
    whole_s: float
    is_whole: bool


def parse(lines: Iterable[str]) -> Iterator[Request]:
    """Read the requests among the *lines* of a balancer's log."""
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            yield _request(json.loads(line))
        except (ValueError, KeyError, TypeError):
            # A line that was cut off by a kill.
            continue


def _request(logged: Mapping[str, object]) -> Request:
    servers = servers_of(str(logged["upstream"]))
    first_byte = next(reversed(values_of(str(logged["first_byte"]))), _NONE)
    return Request(
        upstream=servers[-1] if servers else "",
        tries=len(servers),
        status=int(str(logged["status"])),
        first_byte_s=float(first_byte) if servers and first_byte != _NONE else None,
        whole_s=float(str(logged["seconds"])),
        is_whole=logged["completion"] == "OK",
    )


def traffic(stack: StackFile, since: str = "") -> str:
    """
    Sum up what the balancer of *stack* answered.

    Args:
        stack: whose.
        since: how far back, such as 90s, 10m, 2h or 1d; empty: as far as its log goes.

    Raises:
        LifecycleError: *since* is no such time, or there is no balancer that is reached.
    """
    # The first second that Docker's SDK takes is as far back as any log goes.
    begin = int(time.time() - _span_s(since)) if since else 1
    found = find_stack(stack)
    if error := found.unreached.get(stack.settings.balancer_host):
        raise error
    if found.balancer is None:
        raise LifecycleError(
            subject=stack.name,
            step="reading its balancer's log",
            seen="there is no balancer",
            remedy=f"run `make up STACK={stack.name}`, which makes it",
        )
    log = found.balancer.logs(stderr=False, since=begin)
    requests = tuple(parse(log.decode(errors="replace").splitlines()))
    return render(requests, _names(found))


def _span_s(since: str) -> int:
    match = _SPAN.fullmatch(since)
    if match is None:
        raise LifecycleError(
            subject=f"SINCE={since}",
            step="reading it",
            seen="it is no span of time",
            remedy="write a whole number and s, m, h or d, such as 90s, 10m, 2h or 1d",
        )
    return int(match[1]) * _SECONDS[match[2]]


def _names(found: Found) -> dict[str, str]:
    """Return the instances in the balancer by the address that it knows each by."""
    return {member_address(found.files[member_path(name)]): name for name in members(found.files)}


def render(requests: Sequence[Request], names: Mapping[str, str]) -> str:
    """
    Show a line for each instance, and one for what no instance answered.

    Args:
        requests: in any order.
        names: of the instances by ADDRESS:PORT; one that left keeps its address in the table.
    """
    by_server: dict[str, list[Request]] = {name: [] for name in names.values()}
    for request in requests:
        by = names.get(request.upstream, request.upstream) or BALANCER
        by_server.setdefault(by, []).append(request)
    rows: list[tuple[str, ...]] = [_HEADINGS]
    rows += [
        _row(server, its, len(requests)) for server, its in by_server.items() if server != BALANCER
    ]
    if BALANCER in by_server:
        rows.append(_row(f"{BALANCER} itself", by_server[BALANCER], len(requests)))
    count = len(requests)
    return "\n".join([*aligned(rows), "", f"{count} {'request' if count == 1 else 'requests'}"])


def _row(server: str, requests: Sequence[Request], total: int) -> tuple[str, ...]:
    statuses = sorted(Counter(request.status for request in requests).items())
    first = [one.first_byte_s for one in requests if one.first_byte_s is not None]
    whole = [one.whole_s for one in requests if one.is_whole]
    return (
        server,
        str(len(requests)),
        f"{100 * len(requests) / total:.0f} %" if total else _NONE,
        ", ".join(f"{status}: {count}" for status, count in statuses) or _NONE,
        str(sum(not one.is_whole for one in requests)),
        str(sum(one.tries > 1 for one in requests)),
        *(_seconds(its, share) for its in (first, whole) for share in (0.5, 0.99)),
    )


def _seconds(values: Sequence[float], share: float) -> str:
    """Return the nearest-rank percentile, in words."""
    if not values:
        return _NONE
    return f"{sorted(values)[math.ceil(share * len(values)) - 1]:.3f} s"
