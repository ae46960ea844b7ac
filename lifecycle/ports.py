"""Whether the balancer can have the port that it is to be published at."""

import errno
import socket

from docker.models.containers import Container

from lifecycle.errors import LifecycleError

_ALL = "0.0.0.0"  # noqa: S104 (compared, not listened on)
_AT_REST = ("created", "exited", "dead")


def refuse_taken_port(
    host: str, address: str, port: int, *, own: frozenset[tuple[str, int]]
) -> None:
    """
    Refuse a port of this machine that another program has.

    Docker would find that out only when the balancer that serves is gone already.

    Args:
        host: the host's name in the settings.
        address: of this machine; IPv4.
        port: to be published there.
        own: addresses and ports that the stack's balancer has now, which are not taken.

    Raises:
        LifecycleError: another program listens there.
    """
    # What has all addresses also has each, and is in the way of itself alone.
    own_there = {its for its, number in own if number == port}
    if own_there & {address, _ALL} or (own_there and address == _ALL):
        return
    if not _is_taken(address, port):
        return
    raise LifecycleError(
        subject=host,
        step="looking at the host",
        seen=f"another program has port {port} of {address}, where the balancer is to be reached",
        remedy="stop that program (`ss -ltnp` names it), or set another `balancer.port`; then run "
        "this again",
    )


def published_by(container: Container) -> frozenset[tuple[str, int]]:
    """Return addresses and ports of the host that *container* has now; at rest it has none."""
    if container.status in _AT_REST:
        return frozenset()
    bindings = (container.attrs["HostConfig"]["PortBindings"] or {}).values()
    return frozenset(
        (one["HostIp"] or _ALL, int(one["HostPort"])) for ports in bindings for one in ports or ()
    )


def _is_taken(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Docker's own proxy does: connections that are over hold no port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # Else it is not known: this user may not take that port, Docker may.
            return error.errno == errno.EADDRINUSE
    return False
