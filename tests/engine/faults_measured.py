"""What one fault did to the requests of a stack: the numbers of `bench_faults`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bench.record import End
from tests.engine.bench_requests import Request

_FINE = (End.DONE, End.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """
    A fault, without how it is made.

    Attributes:
        name: in words.
        retry: the stack's `balancer.retry`.
        instances: how many the stack has.
        kills: a process is killed, after which no new request may fail.
        hangs: a server stops to answer, which is to be noticed.
        downs: how many instances it may close or restart at most.
        queues: nothing goes wrong, but requests wait for more than a minute.
        balances: it strikes the balancer's own container, and not an instance.
    """

    name: str
    retry: str = "unsent"
    instances: int = 2
    kills: bool = False
    hangs: bool = False
    downs: int = 1
    queues: bool = False
    balances: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """
    An instance that a fault closed or restarted; times in seconds from the fault.

    Attributes:
        instance: its name.
        reason: of the balancer's watcher.
        closed_s: when the balancer sent it no more requests; None: it was not closed.
        restarted_s: when its container first started again; None: it did not.
        load_s: from then until its models were loaded.
        opened_s: when the balancer sent it requests again, for good; None: it did not.
        closings: how often it was closed.
        restarts: how often its container started again.
        early: requests that were sent to it after it restarted and before it was opened, such as
            those that a server which loads refuses, and that then go to another.
        kept: those of them that stayed there, so that it made what their clients got.
        out_of_memory: whether the kernel ended it because it took too much memory.
    """

    instance: str
    reason: str = ""
    closed_s: float | None = None
    restarted_s: float | None = None
    load_s: float | None = None
    opened_s: float | None = None
    closings: int = 0
    restarts: int = 0
    early: int = 0
    kept: int = 0
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hostile:
    """
    Clients that all do the same that no good client does.

    Attributes:
        kind: what they do.
        clients: how many there were.
        ends: how their connections ended, and how many did so.
        shortest_s: how long the first lasted until its end, in seconds.
        longest_s: the last.
    """

    kind: str
    clients: int
    ends: Mapping[str, int]
    shortest_s: float
    longest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """
    One fault, once.

    Attributes:
        what: the fault.
        requests: all that the clients sent; times in seconds from the fault.
        in_flight: how many of them were at what was struck when it was.
        began: new requests that the balancer logged, until all was as before.
        stuck: of these, those that were sent to a struck instance and got no answer from it.
        least_open: the fewest instances that were open at once.
        over_s: when what was killed had ended, in seconds from the fault; 0: nothing was killed.
        healed_s: when all was as before, in seconds from the fault; None: it never was.
        victims: the instances that it struck, where that is known before.
        downs: the instances that it closed or restarted.
        hostile: what became of hostile clients.
        killer_got: what the client of the killing request got; else empty.
    """

    what: What
    requests: tuple[Request, ...]
    in_flight: int
    began: int
    stuck: int
    least_open: int
    healed_s: float | None
    downs: tuple[Down, ...]
    over_s: float = 0.0
    victims: tuple[str, ...] = ()
    hostile: tuple[Hostile, ...] = ()
    killer_got: str = ""

    @property
    def lost(self) -> tuple[Request, ...]:
        """The requests that were in flight while it struck, and did not end well."""
        before = [one for one in self.requests if one.started <= self.over_s]
        return tuple(one for one in before if one.end not in _FINE)

    @property
    def lost_waiting(self) -> tuple[Request, ...]:
        """Those of the lost ones that had no first token."""
        return tuple(one for one in self.lost if one.first is None)

    @property
    def others(self) -> tuple[Down, ...]:
        """The instances that were closed or restarted although nothing struck them."""
        if not self.victims and self.what.downs:
            # Whoever served the killing request: as many as that may cost.
            return self.downs[self.what.downs :]
        return tuple(down for down in self.downs if down.instance not in self.victims)

    @property
    def new(self) -> tuple[Request, ...]:
        """The requests that were sent after it had struck."""
        return tuple(one for one in self.requests if one.started > self.over_s)

    @property
    def failed(self) -> tuple[Request, ...]:
        """Those of the new ones that did not end well."""
        return tuple(one for one in self.new if one.end not in _FINE)

    @property
    def stuck_share(self) -> float:
        """The share of `stuck` in `began`, 0 to 1."""
        return self.stuck / self.began if self.began else 0.0

    @property
    def longest_wait_s(self) -> float:
        """The longest that a request waited for its first token, in seconds, so far as it came."""
        return max(
            (
                (one.ended if one.first is None else one.first) - one.started
                for one in self.requests
            ),
            default=0.0,
        )

    def in_words(self) -> str:
        """Say in a line what came of it."""
        downs = ", ".join(
            f"{down.instance} closed {seconds(down.closed_s)} open {seconds(down.opened_s)} "
            f"(load {seconds(down.load_s)}, early {down.early}, kept {down.kept}, "
            f"closed {down.closings} times, restarted {down.restarts})"
            for down in self.downs
        )
        return (
            f"{self.what.name}, {self.what.retry}: {self.in_flight} in flight, "
            f"lost {kinds(self.lost)}; {len(self.new)} new, failed {kinds(self.failed)}, "
            f"stuck {self.stuck}; {downs or 'none down'}; healed {seconds(self.healed_s)}"
        )

    def to_json(self) -> dict[str, object]:
        """Return all but the requests that ended well, of which only the number a second."""
        ends = {id(one) for one in (*self.lost, *self.failed)}
        rest = [one for one in self.requests if id(one) not in ends]
        told = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("requests", "downs", "hostile")
        }
        return told | {
            "downs": [asdict(down) for down in self.downs],
            "hostile": [asdict(one) for one in self.hostile],
            "lost": [asdict(one) for one in self.lost],
            "failed": [asdict(one) for one in self.failed],
            "ended_well_by_second": dict(sorted(Counter(int(one.ended) for one in rest).items())),
        }


def kinds(requests: tuple[Request, ...]) -> str:
    """Say how many there are, and how they ended: a status by its number."""
    if not requests:
        return "0"
    ends = Counter(
        one.error.partition(":")[0] if one.end == End.STATUS else one.end for one in requests
    )
    told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    return f"{len(requests)} ({told})"


def seconds(value: float | None) -> str:
    """Write a time with a tenth of a second; what was not measured is a dash."""
    return "-" if value is None else f"{value:.1f}"
