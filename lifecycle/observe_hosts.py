"""What became of a stack on all of its hosts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lifecycle.errors import RemoteHostError
from lifecycle.live import topology_at
from lifecycle.observe import Observation, observe


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a stack is going to have on a host.

    Attributes:
        docker: URL of the host's Docker engine.
        containers: their names.
        images: their references.
        captured: whether its topology is a captured one, and the live one is to be read too.
    """

    docker: str
    containers: Sequence[str]
    images: Sequence[str]
    captured: bool


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
        TopologyError: a host's live topology is asked for and cannot be read.
    """

    def look(host: str) -> Observation | RemoteHostError:
        its = expected[host]
        try:
            seen = observe(host, its.docker, labels, its.containers, its.images)
            return replace(seen, topology=topology_at(its.docker)) if its.captured else seen
        except RemoteHostError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(expected)) as pool:
        return dict(zip(expected, pool.map(look, expected), strict=True))
