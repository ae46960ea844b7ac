"""What became of a stack on all of its hosts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lifecycle import member
from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.live import topology_at
from lifecycle.observe import Observation, observe
from lifecycle.reach import Where

Seen = Observation | UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a stack is going to have on a host.

    Attributes:
        where: the host.
        containers: their names.
        images: their references.
        captured: whether its topology is a captured one, and the live one is to be read too.
    """

    where: Where
    containers: Sequence[str] = ()
    images: Sequence[str] = ()
    captured: bool = False


def observe_hosts(
    expected: Mapping[str, Expected], labels: Mapping[str, str], *, balancer_host: str
) -> dict[str, Seen]:
    """
    Look at a stack on all hosts at once.

    Args:
        expected: by the host's name.
        labels: that everything of the stack carries.
        balancer_host: the host that the balancer is to run on.

    Returns:
        For each host what was seen there, or why it was not reached.

    Raises:
        RefusedError: what answers for a host is not known to be it, or lets this user not in.
        LifecycleError: what stands on a host keeps the stack from being made.
        TopologyError: a host's live topology is asked for and cannot be read.
    """

    def look(host: str) -> Seen:
        its = expected[host]
        try:
            seen = observe(host, its.where, labels, its.containers, its.images)
            return replace(seen, topology=topology_at(its.where)) if its.captured else seen
        except UnreachableError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(expected)) as pool:
        seen = dict(zip(expected, pool.map(look, expected), strict=True))
    return _with_members(seen, balancer_host)


def refuse_without_balancer(error: UnreachableError, hosts: int) -> LifecycleError:
    """
    Return what says that nothing can be done, as the balancer's host is not reached.

    Args:
        error: why it is not reached.
        hosts: how many the stack has.
    """
    if hosts == 1:
        return error
    return LifecycleError(
        subject=error.subject,
        step=error.step,
        seen=f"{error.seen}; the balancer runs there, and without it no instance of any host can "
        "be closed or opened, so nothing was touched",
        remedy=error.remedy,
    )


def _with_members(seen: Mapping[str, Seen], balancer_host: str) -> dict[str, Seen]:
    """
    Judge the instances of each host by what the balancer was told of them, wherever it runs.

    Where the balancer's host was not reached, nothing is said of that.
    """
    reached = {name: one for name, one in seen.items() if isinstance(one, Observation)}
    files = next((one.files for one in reached.values() if one.files is not None), None)
    there = frozenset(name for one in reached.values() for name in one.instances)
    judged = {name: _judged(name, one, files, there) for name, one in reached.items()}
    if files is None and balancer_host in judged and there:
        at = judged[balancer_host]
        judged[balancer_host] = replace(at, gone=("balancer is gone", *at.gone))
    return {**seen, **judged}


def _judged(
    host: str, seen: Observation, files: Mapping[str, bytes] | None, there: frozenset[str]
) -> Observation:
    if files is None:
        return seen
    # An instance that was removed by hand left its member file.
    found = {name: member.member_fault(files, name) for name in seen.instances - {*seen.faults}}
    faults = {name: fault for name, fault in found.items() if fault}
    gone = [f"{name} is gone" for name in member.members(files) if member.host_of(name) == host]
    gone = [sentence for sentence in gone if sentence.partition(" ")[0] not in there]
    serving = frozenset(one for one in seen.serving if member.unwell_path(one) not in files)
    return replace(
        seen,
        faults={**seen.faults, **faults},
        gone=tuple(sorted([*seen.gone, *gone])),
        serving=serving,
    )
