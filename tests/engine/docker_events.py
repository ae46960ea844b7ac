"""What Docker does to containers while something is measured."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

_ACTIONS = ("start", "oom")


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event.

    Attributes:
        at: in seconds of the wall clock.
        action: ``start``, or ``oom`` where the kernel killed a process for want of memory.
        container: its name.
    """

    at: float
    action: str
    container: str

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Event":
        """Read an event as Docker tells it."""
        name = told["Actor"]["Attributes"].get("name", "")
        return cls(at=told["timeNano"] / 1e9, action=told["Action"], container=name)


class DockerEvents:
    """
    Listens from the beginning to the end of a block.

    Docker keeps the last 256 events only, and each look of a health check is three.

    Attributes:
        seen: the starts, and the kills for want of memory, in order.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        """Listen to the engine of *client*."""
        self.seen: list[Event] = []
        self._client = client
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> "DockerEvents":
        self._stream = self._client.events(
            decode=True, filters={"type": "container", "event": [*_ACTIONS]}
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()
        self._thread.join(timeout=5)

    def _listen(self) -> None:
        # Closed from the other thread, in the middle of a read.
        with suppress(DockerException, RequestException, OSError, ValueError, AttributeError):
            for told in self._stream:
                self.seen.append(Event.of(told))
