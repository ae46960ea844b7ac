"""What became of a stack on all of its hosts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lifecycle.errors import RemoteHostError
from lifecycle.observe import Observation, observe


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a stack is going to have on a host.

    Attributes:
        docker: URL of the host's Docker engine.
        containers: their names.
        images: their references.
    """

    docker: str
    containers: Sequence[str]
    images: Sequence[str]


def observe_hosts(
    expected: Mapping[str, Expected], labels: Mapping[str, str]
) -> dict[str, Observation | RemoteHostError]:
    """
    Look at a stack on all hosts at once.

    Args:
        expected: by the host's name.
        labels: that everything of the stack carries.

    Returns:
        For each host what was seen there, or why it was not looked at.

    Raises:
        LifecycleError: no Docker engine answers on a host that could be looked at, or what
            stands there keeps the stack from being made.
    """

    def look(host: str) -> Observation | RemoteHostError:
        its = expected[host]
        try:
            return observe(host, its.docker, labels, its.containers, its.images)
        except RemoteHostError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(expected)) as pool:
        return dict(zip(expected, pool.map(look, expected), strict=True))
