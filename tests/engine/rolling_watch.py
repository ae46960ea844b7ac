"""How many instances a stack's balancer sends requests to, over the time of an update."""

import threading
import time
from types import TracebackType

from docker.errors import DockerException
from requests.exceptions import RequestException

from lifecycle import balancer_config, member
from tests.engine.stack import Stack

_EVERY_S = 0.25


class Openness:
    """
    Looks at the balancer's member files from the beginning to the end of a block.

    Attributes:
        began: when, in seconds of `time.monotonic`.
        seconds: how long the block took.
        least: the fewest members that were open at once.
        most: the most.
    """

    def __init__(self, stack: Stack) -> None:
        """Look at the balancer of *stack*."""
        self._stack = stack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._seen: list[int] = []
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
        return min(self._seen)

    @property
    def most(self) -> int:
        return max(self._seen)

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            try:
                files = balancer_config.read_all(self._stack.container("balancer"))
            except (DockerException, RequestException):
                # The balancer's own container is being replaced: nothing is open.
                files = {}
            names = member.members(files)
            self._seen.append(sum(member.gets_requests(files, name) for name in names))
