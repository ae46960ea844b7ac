"""Whether balancer and instances can have the ports that they are to be published at."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from docker.models.containers import Container

from lifecycle.errors import LifecycleError
from planner.claims import Published

_ALL = "0.0.0.0"  # noqa: S104 (compared, not listened on)
# Sockets of all IPv4 or IPv6 addresses, and those of the IPv4 one that an IPv6 socket may have too.
_ALL_IN_HEX = ("0" * 8, "0" * 32)
_MAPPED = "0000000000000000FFFF0000"
_AT_REST = ("created", "exited", "dead")


SOCKETS = ("proc/net/tcp", "proc/net/tcp6")
"""A host's files that `listening_in` takes."""
LISTENING = " 0A 00000000:"
"""What their lines have that are of a listening socket."""


def refuse_taken_port(
    host: str,
    its: Published,
    *,
    own: frozenset[tuple[str, int]],
    listening: frozenset[tuple[str, int]],
) -> None:
    """
    Refuse a port of a host that another program has.

    Docker would find that out only when the container that serves is gone already.

    Args:
        host: the host's name in the settings.
        its: what is to be published there.
        own: addresses and ports that the stack's containers have now, which are not taken.
        listening: all that are taken.

    Raises:
        LifecycleError: another program listens there.
    """
    # What has all addresses also has each, and is in the way of itself alone.
    own_there = {address for address, port in own if port == its.port}
    if own_there & {its.address, _ALL} or (own_there and its.address == _ALL):
        return
    taken = {address for address, port in listening if port == its.port}
    if not taken & {its.address, _ALL} and not (taken and its.address == _ALL):
        return
    raise LifecycleError(
        subject=host,
        step="looking at the host",
        seen=f"another program has port {its.port} of {its.address}, where {its.who} is to be "
        "reached",
        remedy=f"stop that program (`ss -ltnp` names it), or set another `{its.setting}`; then run "
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


def listening_in(files: Mapping[str, str]) -> frozenset[tuple[str, int]]:
    """
    Return the IPv4 addresses and ports that programs of a host listen on.

    Args:
        files: those of SOCKETS, by path; see proc_net_tcp of the kernel's documentation.
    """
    rows = (line.split() for path in SOCKETS for line in files.get(path, "").splitlines())
    return frozenset(found for row in rows for found in _listening(*row[1].split(":")))


def _listening(address: str, port: str) -> Iterator[tuple[str, int]]:
    """Read the address, which is in the processor's order of bytes, and the port."""
    if address in _ALL_IN_HEX:
        yield _ALL, int(port, 16)
    elif len(address) == 8 or address.startswith(_MAPPED):
        yield str(IPv4Address(bytes.fromhex(address[-8:])[::-1])), int(port, 16)
