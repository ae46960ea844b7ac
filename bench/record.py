"""What became of one request: its times, its tokens, and how it ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from planner.nginx.upstream import servers_of


class End(StrEnum):
    """How a request ended; not what the model said (its finish reason)."""

    DONE = "done"
    """The whole stream came: a finish reason and ``[DONE]``."""

    REFUSED = "refused"
    """There was no connection."""

    STATUS = "status"
    """The answer had another status than 200."""

    CUT = "cut"
    """The connection was lost, or the stream ended without finish reason or ``[DONE]``."""

    TIMEOUT = "timeout"
    """It took longer than the time that the client was told to wait."""

    STOPPED = "stopped"
    """This client cut it, because its run ended: no failure of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """
    One request, from sending it to its end. Times are seconds of `time.monotonic`.

    Attributes:
        index: its number in the run, from 0, in the order of starting.
        started: when it was sent; a new connection is made after that.
        ended: when nothing more came of it.
        chunks: when each chunk with a choice came; the first one is the first token.
        end: how it ended.
        status: of the answer; None where none came.
        error: what was seen, where it did not end well; else empty.
        instance: the address that answered, by the balancer's `X-Upstream`; None without one.
        prompt_tokens: of the prompt as the server counted them, else as the dataset estimates.
        counted_tokens: that the server says it generated; None where it does not say.
        text: what was generated.
    """

    index: int
    started: float
    ended: float
    chunks: tuple[float, ...]
    end: End
    status: int | None
    error: str
    instance: str | None
    prompt_tokens: int
    counted_tokens: int | None
    text: str

    @property
    def failed(self) -> bool:
        """Whether the server, or the way to it, failed this request."""
        return self.end not in (End.DONE, End.STOPPED)

    @property
    def output_tokens(self) -> int:
        """Generated tokens; without the server's count, the chunks, each of one token or more."""
        return len(self.chunks) if self.counted_tokens is None else self.counted_tokens

    @property
    def ttft_s(self) -> float:
        """Time to first token, in seconds; only where a chunk came."""
        return self.chunks[0] - self.started

    @property
    def latency_s(self) -> float:
        """From sending to the last chunk, in seconds; only where a chunk came."""
        return self.chunks[-1] - self.started

    @property
    def gaps_s(self) -> tuple[float, ...]:
        """Times between chunks, in seconds: one less than chunks."""
        return tuple(later - earlier for earlier, later in pairwise(self.chunks))

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first, in seconds; None of a single token."""
        if self.output_tokens < 2:
            return None
        return (self.latency_s - self.ttft_s) / (self.output_tokens - 1)


def instance_of(upstream: str | None) -> str | None:
    """Return the server that was tried last, out of the balancer's `X-Upstream`; None: none was."""
    servers = servers_of(upstream or "")
    return servers[-1] if servers else None


def by_instance(records: Sequence[Record]) -> Iterator[tuple[str, tuple[Record, ...]]]:
    """Yield each instance that answered something, by name, with its requests."""
    for name in sorted({one.instance for one in records if one.instance is not None}):
        yield name, tuple(one for one in records if one.instance == name)
