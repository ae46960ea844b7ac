"""Which instances a stack's balancer sends requests to, over the time of a measurement."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from docker.errors import DockerException
from requests.exceptions import RequestException

from lifecycle import balancer_config, member
from tests.engine.stack import Stack

_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Look:
    """
    What the balancer's files said once.

    Attributes:
        at: when, in seconds of `time.monotonic`.
        members: the instances that it knows.
        opened: those of them that get requests.
        unwell: why the others do not, by instance, where its watcher closed them.
    """

    at: float
    members: frozenset[str]
    opened: frozenset[str]
    unwell: Mapping[str, str]


class Openness:
    """
    Looks at the balancer's files from the beginning to the end of a block.

    Attributes:
        began: when, in seconds of `time.monotonic`.
        seconds: how long the block took.
        looks: what was seen, in order.
    """

    def __init__(self, stack: Stack) -> None:
        """Look at the balancer of *stack*."""
        self._stack = stack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.looks: list[Look] = []
        self.began = self.seconds = 0.0

    def __enter__(self) -> "Openness":
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.monotonic() - self.began
        self._over.set()
        self._thread.join()

    @property
    def least(self) -> int:
        """The fewest members that were open at once."""
        return min(len(look.opened) for look in self.looks)

    @property
    def most(self) -> int:
        """The most."""
        return max(len(look.opened) for look in self.looks)

    def _watch(self) -> None:
        while not self._over.wait(_EVERY_S):
            # Before it is read: what is seen is as it was then, or newer.
            at = time.monotonic()
            try:
                files = balancer_config.read_all(self._stack.container("balancer"))
            except (DockerException, RequestException):
                # The balancer's own container is being replaced: nothing is open.
                files = {}
            self.looks.append(look_at(files, at))


def look_at(files: Mapping[str, bytes], at: float) -> Look:
    """Tell which members the *files* of a generation let requests through to."""
    names = frozenset(member.members(files))
    marks = {name: files.get(member.unwell_path(name)) for name in names}
    return Look(
        at=at,
        members=names,
        opened=frozenset(name for name in names if member.gets_requests(files, name)),
        unwell={name: mark.decode().strip() for name, mark in marks.items() if mark is not None},
    )
