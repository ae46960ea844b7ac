"""Where the requests of a session go, in the real Nginx."""

from collections import Counter

import pytest

from tests.balancer.asking import hold, reached, release
from tests.balancer.conftest import Serve
from tests.balancer.real_nginx import RealNginx

pytestmark = pytest.mark.engine

SESSION = {"X-Session-Id": "a"}


def test_a_session_stays_with_its_server_and_others_are_spread(
    nginx: RealNginx, serve: Serve
) -> None:
    nginx.configure(affinity="session")
    servers = serve(3)

    at = {
        name: {nginx.ask(headers={"X-Session-Id": name}).upstream for _ in range(4)}
        for name in "abcdef"
    }

    assert all(len(its) == 1 for its in at.values())
    assert Counter(name for its in at.values() for name in its) == {
        server.name: 2 for server in servers
    }
    assert {nginx.ask().upstream for _ in range(3)} == {server.name for server in servers}


def test_a_session_outlives_a_reload(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(affinity="session")
    servers = serve(3)
    before = nginx.ask(headers=SESSION).upstream

    nginx.open(servers)

    assert {nginx.ask(headers=SESSION).upstream for _ in range(6)} == {before}


def test_the_requests_of_sessions_count_for_all_others(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(affinity="session")
    busy, *_ = servers = serve(3)
    nginx.open(servers, closed=servers[1:])
    nginx.ask(headers=SESSION)
    nginx.open(servers)
    held = hold(nginx, 2, headers=SESSION)

    others = Counter(nginx.ask().upstream for _ in range(6))

    assert reached(servers, "hold") == [2, 0, 0]
    assert busy.name not in others
    release(servers, held)


def test_what_is_above_a_server_s_bound_goes_to_another(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(affinity="session", affinity_bound=2)
    servers = serve(3)
    home = nginx.ask(headers=SESSION).upstream

    held = hold(nginx, 5, headers=SESSION)

    there = dict(zip((server.name for server in servers), reached(servers, "hold"), strict=True))
    assert there[home] == 2
    assert max(there.values()) == 2
    release(servers, held)


def test_what_is_above_all_bounds_is_spread_and_refused_to_none(
    nginx: RealNginx, serve: Serve
) -> None:
    nginx.configure(affinity="session", affinity_bound=1)
    servers = serve(3)

    held = hold(nginx, 9, headers=SESSION)

    assert reached(servers, "hold") == [3, 3, 3]
    release(servers, held)


@pytest.mark.parametrize("state", ["closed", "dead", "404"])
def test_a_session_whose_server_is_gone_moves_to_another_and_stays(
    nginx: RealNginx, serve: Serve, state: str
) -> None:
    nginx.configure(affinity="session")
    servers = serve(3)
    before = nginx.ask(headers=SESSION).upstream
    home = next(server for server in servers if server.name == before)
    if state == "dead":
        home.die()
    elif state == "404":
        home.status = 404
    nginx.open(servers, closed=[home] if state == "closed" else [])

    after = [nginx.ask(headers=SESSION) for _ in range(6)]

    assert {answer.status for answer in after} == {200}
    assert len({answer.upstream for answer in after}) == 1
    assert after[0].upstream != before


def test_a_session_s_request_that_kills_reaches_two_servers_where_requests_may_wait(
    nginx: RealNginx, serve: Serve
) -> None:
    """All options together; the session's own server is the first of the two."""
    nginx.configure(retry="waiting", max_requests=48, affinity="session", affinity_bound=12)
    servers = serve(4)
    home = nginx.ask(headers=SESSION).upstream

    answer = nginx.ask("kill", headers=SESSION)

    killed = {server.name for server in servers if "kill" in server.got}
    assert answer.status == 502
    assert len(killed) == 2
    assert home in killed
    assert {nginx.ask(headers=SESSION).status for _ in range(4)} == {200}
