import socket
from types import SimpleNamespace
from typing import cast

import pytest
from docker.models.containers import Container

from lifecycle.errors import LifecycleError
from lifecycle.ports import published_by, refuse_taken_port


def refused(
    port: int, address: str = "127.0.0.1", own: frozenset[tuple[str, int]] = frozenset()
) -> bool:
    try:
        refuse_taken_port("box", address, port, own=own)
    except LifecycleError:
        return True
    return False


def test_a_port_of_another_program_is_refused_with_how_to_find_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LifecycleError) as told:
            refuse_taken_port("box", "127.0.0.1", port, own=frozenset())

    assert str(told.value) == (
        f"box: looking at the host: another program has port {port} of 127.0.0.1, where the "
        "balancer is to be reached.\n"
        "  What to do: stop that program (`ss -ltnp` names it), or set another `balancer.port`; "
        "then run this again."
    )


def test_a_port_that_is_free_is_taken_and_let_go_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

    assert not refused(port)
    assert not refused(port)


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
