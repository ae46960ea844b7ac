"""Take an instance out of service without cutting a request."""

import time
from collections.abc import Callable

from docker.models.containers import Container

from lifecycle import balancer_config, docker_host, member, proof
from lifecycle.errors import UnreachableError
from lifecycle.reach import Link, reach
from lifecycle.spec import Activation

_POLL_S = 0.2
_ZEROS_IN_A_ROW = 3
_TELL_EVERY_S = 3

Progress = Callable[[str], None]


def drain(spec: Activation, progress: Progress) -> dict[str, object]:
    """
    Close the instance of *spec*, wait for what it has in flight, and remove its member file.

    A container or a balancer that is gone counts as drained. The instance keeps running: its
    container is removed by whoever declared it.

    Returns:
        The instance, and how many connections were still open when the wait ended; none where
        they could not be counted.

    Raises:
        UnreachableError: its host is not reached. It stays open then, as it may well serve.
        LifecycleError: the balancer could not be changed.
    """
    try:
        link = reach(spec.where)
    except UnreachableError as error:
        raise _left_open(spec, error) from None
    cut = close_and_wait(spec, link, progress)
    at_balancer = balancer_link(spec, link)
    if docker_host.find(at_balancer.client, spec.balancer.container) is not None:
        path = member.member_path(spec.instance)
        balancer_config.change(at_balancer, spec.balancer, {}, remove=(path,))
    return {"instance": spec.instance, "cut": cut}


def _left_open(spec: Activation, error: UnreachableError) -> UnreachableError:
    host = member.host_of(spec.instance)
    return UnreachableError(
        subject=spec.instance,
        step="taking it out of service",
        seen=f"its host is not reached: {error.subject}: {error.seen}",
        remedy="bring that host back, then run `pulumi up` again: it goes on from here. One that "
        f"is gone for good is taken out with `make forget HOST={host} STACK=NAME`, where the stack "
        "has others",
    )


def balancer_link(spec: Activation, link: Link) -> Link:
    """Return a link to the balancer's host: *link*, unless that is another host."""
    elsewhere = spec.balancer.elsewhere
    return link if elsewhere is None else reach(elsewhere)


def close_and_wait(spec: Activation, link: Link, progress: Progress) -> int | None:
    """
    Close the instance in the balancer and wait until nothing is in flight to it.

    In flight are the TCP connections to the server's port: requests that run and those that
    wait in its queue alike. A worker of Nginx that a reload replaced keeps idle client
    connections, and so may still send requests, for `keepalive_min_timeout`; so the count
    starts after that. Its idle connections to the server it closes at once.

    Returns:
        How many connections were still open when `drain_s` had passed; none where they could
        not be counted.
    """
    container = docker_host.find(link.client, spec.container)
    at_balancer = balancer_link(spec, link)
    balancer = docker_host.find(at_balancer.client, spec.balancer.container)
    if balancer is None:
        return 0
    _close(spec, at_balancer, balancer, progress)
    running = container is not None and container.status == "running"
    if container is None or not running or balancer.status != "running" or not spec.drain:
        return 0
    begun = time.monotonic()
    cut = _wait_for_zero(spec, container, _Told(progress))
    if cut is None:
        progress(f"what it still has in flight after {spec.timeouts.drain_s} s is not known")
    elif cut:
        progress(f"drained, {cut} connections cut after {spec.timeouts.drain_s} s")
    else:
        progress(f"drained after {time.monotonic() - begun:.1f} s")
    return cut


def _close(spec: Activation, link: Link, balancer: Container, progress: Progress) -> None:
    path = member.member_path(spec.instance)
    closed = spec.member_file(is_open=False)
    files = balancer_config.read_all(balancer)
    if path not in files:
        return
    if files[path] != closed:
        balancer_config.change(link, spec.balancer, {path: closed})
    elif balancer.status == "running":
        balancer_config.wait_until_loaded(link, spec.balancer, files)
    progress("closed")


class _Told:
    """What is said of a drain while it goes on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._count: int | None = None
        self._next = 0.0
        self._failure = ""

    def count(self, count: int) -> None:
        """Say how many are in flight: at first, and when that changes, but not too often."""
        now = time.monotonic()
        is_first = self._count is None
        if is_first or (count not in (0, self._count) and now >= self._next):
            self._progress(f"draining, {count or 'none'} in flight")
            self._count, self._next = count, now + _TELL_EVERY_S

    def failure(self, words: str) -> None:
        """Say why there is no count, once for each reason."""
        if words != self._failure:
            self._progress(f"what it has in flight cannot be counted: {words}")
            self._failure = words


def _wait_for_zero(spec: Activation, container: Container, told: _Told) -> int | None:
    """
    Wait for several zeros in a row, as a request may be between two connections.

    The first count is only told. Only a container that is gone has nothing in flight. A count that
    fails is none, and is tried again until the time is over.
    """
    counts_from = time.monotonic() + spec.balancer.keepalive_min_s
    deadline = counts_from + spec.timeouts.drain_s
    zeros = 0
    while True:
        count = None
        try:
            left_s = max(deadline - time.monotonic(), _POLL_S)
            within_s = min(left_s, docker_host.COMMAND_WITHIN_S)
            count = proof.connections(container, spec.port, within_s=within_s)
            told.count(count)
        except docker_host.ContainerGoneError:
            return 0
        except docker_host.CommandError as error:
            told.failure(str(error))
        now = time.monotonic()
        if now < counts_from:
            time.sleep(counts_from - now)
            continue
        zeros = zeros + 1 if count == 0 else 0
        if zeros == _ZEROS_IN_A_ROW or now > deadline:
            return count
        time.sleep(_POLL_S)
