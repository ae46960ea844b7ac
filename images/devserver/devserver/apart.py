"""
A batch in a process of its own, as Python's lock is held through each of OpenVINO's steps.

Beside a thread that steps, the API would answer nothing, not even its health, for as long as a step
of a full batch takes: seconds. OVMS answers by threads that no step stops. So one process serves,
and one for each model computes; what they say to each other is pickled.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Protocol

from .generation import Cancel, Load, Sampling, Step, Tokens

Sink = Callable[[Step], None]
Steps = Sequence[tuple[int, Step]]
"""What requests got, each by its number."""


@dataclass(frozen=True, slots=True)
class Added:
    """A request for the batch, with the number that it is known by."""

    number: int
    prompt: Tokens
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Cancelled:
    """That nobody waits for request *number* any more."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    What came of a step.

    Attributes:
        steps: what it brought.
        load: of the batch, so without the requests that have not reached it.
        added: how many requests have reached it since its start.
    """

    steps: Steps
    load: Load
    added: int


class Batch(Protocol):
    """The requests that are computed together; used by one thread."""

    def add(self, number: int, prompt: Tokens, sampling: Sampling) -> None:
        """
        Take a request.

        Raises:
            ValueError: the engine refuses *prompt* or *sampling*.
        """

    def cancel(self, number: int) -> None:
        """Give a request up, if it is still there."""

    def step(self) -> Steps:
        """Compute once for all requests; nothing where there is none."""

    def load(self) -> Load:
        """Say what is in the batch now, and what it has done."""


def compute(channel: Connection, batch: Batch) -> None:
    """Step *batch* with what comes over *channel*, until the serving side closes or is gone."""
    added = 0
    try:
        while True:
            messages = list(_arrived(channel, wait=not batch.load().running))
            added += sum(isinstance(message, Added) for message in messages)
            steps = [refused for message in messages for refused in _take(batch, message)]
            steps.extend(batch.step())
            channel.send(Progress(steps=steps, load=batch.load(), added=added))
    except (EOFError, ConnectionError):
        return


def _arrived(channel: Connection, *, wait: bool) -> Iterator[Added | Cancelled]:
    while wait or channel.poll():
        message = channel.recv()
        if message is None:
            raise EOFError
        yield message
        wait = False


def _take(batch: Batch, message: Added | Cancelled) -> Steps:
    if isinstance(message, Cancelled):
        batch.cancel(message.number)
        return ()
    try:
        batch.add(message.number, message.prompt, message.sampling)
    except ValueError as error:
        return ((message.number, Step((), error=str(error))),)
    return ()


class Apart:
    """The side that serves: hands requests over, and passes on what comes back."""

    def __init__(self, channel: Connection, on_end: Callable[[], None]) -> None:
        """
        Start a thread that sends and one that receives.

        Args:
            channel: to a process that runs `compute`.
            on_end: called from a thread when that process ends and was not closed.
        """
        self._channel = channel
        self._on_end = on_end
        self._given = 0
        self._giving = threading.Lock()
        self._sinks: dict[int, Sink] = {}
        self._progress = Progress(steps=(), load=Load(running=0, peak=0, tokens=0), added=0)
        # A long prompt fills the channel while a step is computed, and who asks must not wait.
        self._outgoing: queue.SimpleQueue[Added | Cancelled | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, prompt: Tokens, sampling: Sampling, sink: Sink) -> Cancel:
        """Hand a request over; as `Generator.start`."""
        with self._giving:
            self._given = number = self._given + 1
        self._sinks[number] = sink
        self._outgoing.put(Added(number, prompt, sampling))

        def cancel() -> None:
            if self._sinks.pop(number, None):
                self._outgoing.put(Cancelled(number))

        return cancel

    def load(self) -> Load:
        """Say what the batch is doing, the requests that are on their way to it included."""
        progress = self._progress
        on_the_way = self._given - progress.added
        return replace(progress.load, running=progress.load.running + on_the_way)

    def close(self) -> None:
        """Have the other side end after its step, and wait for that."""
        self._closing.set()
        self._outgoing.put(None)
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with suppress(ConnectionError):  # Then the other thread gets the end, and says so.
            while message := self._outgoing.get():
                self._channel.send(message)
            self._channel.send(None)

    def _receive(self) -> None:
        with suppress(EOFError, ConnectionError):
            while True:
                self._progress = self._channel.recv()
                for number, step in self._progress.steps:
                    self._pass_on(number, step)
        if not self._closing.is_set():
            self._on_end()

    def _pass_on(self, number: int, step: Step) -> None:
        last = step.finish or step.error
        sink = self._sinks.pop(number, None) if last else self._sinks.get(number)
        if sink:
            sink(step)
