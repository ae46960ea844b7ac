"""What became of a stack on all of its hosts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lifecycle.errors import UnreachableError
from lifecycle.observe import Observation, observe
from lifecycle.reach import Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a stack is going to have on a host.

    Attributes:
        where: the host.
        containers: their names.
        images: their references.
    """

    where: Where
    containers: Sequence[str]
    images: Sequence[str]


def observe_hosts(
    expected: Mapping[str, Expected], labels: Mapping[str, str]
) -> dict[str, Observation | UnreachableError]:
    """
    Look at a stack on all hosts at once.

    Args:
        expected: by the host's name.
        labels: that everything of the stack carries.

    Returns:
        For each host what was seen there, or why it was not looked at.

    Raises:
        RefusedError: what answers for a host is not known to be it, or lets this user not in.
        LifecycleError: no Docker engine answers on this machine, or what stands on a host keeps
            the stack from being made.
    """

    def look(host: str) -> Observation | UnreachableError:
        its = expected[host]
        try:
            return observe(host, its.where, labels, its.containers, its.images)
        except UnreachableError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(expected)) as pool:
        return dict(zip(expected, pool.map(look, expected), strict=True))
