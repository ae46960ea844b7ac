import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from docker.models.containers import Container

from lifecycle.errors import LifecycleError
from lifecycle.listing import read_here
from lifecycle.ports import LISTENING, SOCKETS, listening_in, published_by, refuse_taken_port
from planner.claims import Published


def balancer_at(address: str, port: int) -> Published:
    return Published(who="the balancer", setting="balancer.port", address=address, port=port)


def listening() -> frozenset[tuple[str, int]]:
    """What programs of this machine listen on."""
    return listening_in(read_here(Path("/"), SOCKETS, containing=(LISTENING,)))


def refused(
    port: int, address: str = "127.0.0.1", own: frozenset[tuple[str, int]] = frozenset()
) -> bool:
    try:
        refuse_taken_port("box", balancer_at(address, port), own=own, listening=listening())
    except LifecycleError:
        return True
    return False


def test_a_port_of_another_program_is_refused_with_how_to_find_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LifecycleError) as told:
            refuse_taken_port(
                "box", balancer_at("127.0.0.1", port), own=frozenset(), listening=listening()
            )

    assert str(told.value) == (
        f"box: looking at the host: another program has port {port} of 127.0.0.1, where the "
        "balancer is to be reached.\n"
        "  What to do: stop that program (`ss -ltnp` names it), or set another `balancer.port`; "
        "then run this again."
    )


def test_a_port_that_nothing_listens_on_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

    assert not refused(port)


def test_a_port_on_one_address_is_taken_by_a_program_on_all() -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:  # noqa: S104
        assert refused(other.getsockname()[1])


def test_a_port_of_an_ipv6_socket_is_taken_in_ipv4_too() -> None:
    """A socket of all IPv6 addresses, or of an IPv4 one within them, has those of IPv4 too."""
    rows = (
        f"   0: {address}:1F90 {'0' * 32}:0000 0A 00000000:00000000 00:00000000"
        for address in ("0" * 32, "0000000000000000FFFF00000500000A", f"{'0' * 24}01000000")
    )

    found = listening_in({"proc/net/tcp6": "\n".join(rows)})

    assert found == {("0.0.0.0", 8080), ("10.0.0.5", 8080)}  # noqa: S104


def test_a_port_on_all_addresses_is_taken_by_a_program_on_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert refused(other.getsockname()[1], address="0.0.0.0")  # noqa: S104


def test_the_balancers_own_port_is_not_taken() -> None:
    """Also when it is to be published on all addresses from now on."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]

        assert not refused(port, own=frozenset({("127.0.0.1", port)}))
        assert not refused(port, own=frozenset({("0.0.0.0", port)}))  # noqa: S104
        assert not refused(port, "0.0.0.0", own=frozenset({("127.0.0.1", port)}))  # noqa: S104
        assert refused(port, own=frozenset({("127.0.0.1", port + 1)}))
        assert refused(port, own=frozenset({("10.0.0.5", port)}))


@pytest.mark.parametrize(
    ("status", "ports"),
    [
        ("running", {("127.0.0.1", 8000)}),
        ("restarting", {("127.0.0.1", 8000)}),
        ("exited", set()),
        ("created", set()),
    ],
)
def test_a_container_that_is_at_rest_has_no_port(status: str, ports: set[tuple[str, int]]) -> None:
    bound = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}], "9090/tcp": None}
    container = SimpleNamespace(status=status, attrs={"HostConfig": {"PortBindings": bound}})

    assert published_by(cast("Container", container)) == ports


def test_an_address_that_this_machine_has_not_is_left_to_docker() -> None:
    assert not refused(8000, address="203.0.113.7")
