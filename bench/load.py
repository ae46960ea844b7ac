"""What load is put on a server: the frozen description of one run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle

from bench.dataset import Prompt


class LoadError(Exception):
    """A run cannot be as it was asked for; says what was seen and what to change."""


class Connections(StrEnum):
    """How requests share connections; not how many there are at once."""

    POOLED = "pooled"
    """Connections are kept and used again, as many as requests are in flight."""

    NEW = "new"
    """Each request makes one of its own, and it is closed after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    One run.

    Attributes:
        url: of chat completions, such as ``http://127.0.0.1:8000/v3/chat/completions``.
        model: the name that the server has for it.
        prompts: what is asked, in this order.
        repeat: begin again after the last prompt, until the run is ended otherwise.
        request_rate: requests begun in a second, on average; `math.inf`: all at once.
        seed: of the times of beginning.
        max_concurrency: the most requests in flight; None: no bound.
        connections: how requests share them.
        timeout_s: the longest that a request may take, in seconds; None: as long as it takes.
        pause_s: how long the place of a failed request stays empty before the next one has it.
        duration_s: no request is begun after so many seconds; None: until all are.
        grace_s: how long requests in flight may go on after that, or after a stop.
        ignore_eos: ask the server to go on after the model's end token.
        temperature: of sampling; 0 is greedy.
    """

    url: str
    model: str
    prompts: tuple[Prompt, ...]
    repeat: bool = False
    request_rate: float = math.inf
    seed: int = 0
    max_concurrency: int | None = None
    connections: Connections = Connections.POOLED
    timeout_s: float | None = None
    pause_s: float = 0
    duration_s: float | None = None
    grace_s: float = 30
    ignore_eos: bool = False
    temperature: float = 0

    def __post_init__(self) -> None:
        if not self.prompts:
            raise LoadError("There are no prompts to send. Give at least one.")
        if self.repeat and self.max_concurrency is None and math.isinf(self.request_rate):
            raise LoadError(
                "Prompts that repeat at rate inf would all be sent at once, without end. "
                "Give --max-concurrency, a finite --request-rate or --num-prompts."
            )

    @property
    def planned(self) -> int | None:
        """How many requests there are to be; None: as many as there is time for."""
        return None if self.repeat else len(self.prompts)

    @property
    def most_at_once(self) -> int:
        """How many connections may be open at once; an estimate where nothing bounds them."""
        most = self.max_concurrency or len(self.prompts)
        return most if self.repeat else min(most, len(self.prompts))

    def questions(self) -> Iterator[Prompt]:
        """Yield the prompts in the order in which they are sent."""
        return cycle(self.prompts) if self.repeat else iter(self.prompts)
