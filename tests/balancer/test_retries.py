"""What becomes of a request whose server fails, in the real Nginx."""

import http.client
import json

import pytest

from tests.balancer.asking import reached, statuses, wait_until
from tests.balancer.conftest import Serve
from tests.balancer.real_nginx import NOBODY, RealNginx, answer_of

pytestmark = pytest.mark.engine

RETRIES = pytest.mark.parametrize("retry", ["unsent", "waiting"])


@RETRIES
@pytest.mark.parametrize("state", ["dead", "404", "503"])
def test_a_server_that_is_dead_or_loads_fails_no_request(
    nginx: RealNginx, serve: Serve, state: str, retry: str
) -> None:
    nginx.configure(retry=retry)
    out, *_ = serve(3)
    if state == "dead":
        out.die()
    else:
        out.status = int(state)

    assert statuses(nginx, 18) == {200: 18}


@RETRIES
def test_one_server_of_five_answers_all_while_the_others_are_dead(
    nginx: RealNginx, serve: Serve, retry: str
) -> None:
    nginx.configure(retry=retry)
    *dead, alive = serve(5)
    for server in dead:
        server.die()

    assert statuses(nginx, 9) == {200: 9}
    assert len(alive.got) == 9


@RETRIES
def test_an_address_without_a_container_fails_no_request(
    nginx: RealNginx, serve: Serve, retry: str
) -> None:
    """It does not refuse: it is silent."""
    nginx.configure(retry=retry, connect_timeout_s=1)
    serve(1)
    nginx.open_address("local-node0-9", NOBODY, 8000)

    assert statuses(nginx, 4) == {200: 4}


@RETRIES
def test_a_wrong_model_s_404_is_the_server_s_own(
    nginx: RealNginx, serve: Serve, retry: str
) -> None:
    nginx.configure(retry=retry)
    servers = serve(3)
    for server in servers:
        server.status = 404

    answer = nginx.ask()

    assert answer.status == 404
    assert "from" in json.loads(answer.text)
    assert sum(reached(servers, "hi")) == {"unsent": 3, "waiting": 2}[retry]


@pytest.mark.parametrize("state", [404, 503])
def test_one_server_of_four_answers_all_while_the_others_load(
    nginx: RealNginx, serve: Serve, state: int
) -> None:
    *loading, alive = serve(4)
    for server in loading:
        server.status = state

    assert statuses(nginx, 9) == {200: 9}
    assert len(alive.got) == 9


def test_a_request_that_one_server_refused_is_not_lost_to_a_dead_one(
    nginx: RealNginx, serve: Serve
) -> None:
    loading, dead = serve(2)
    loading.status = 503
    dead.die()

    answers = [nginx.ask() for _ in range(4)]

    assert {(answer.status, "from" in answer.text) for answer in answers} == {(503, True)}


@pytest.mark.parametrize(("retry", "most"), [("unsent", 1), ("waiting", 2)])
def test_a_request_that_kills_reaches_so_many_servers_and_no_more(
    nginx: RealNginx, serve: Serve, retry: str, most: int
) -> None:
    """Also over connections that were used before."""
    nginx.configure(retry=retry)
    servers = serve(4)
    assert statuses(nginx, 8) == {200: 8}

    answer = nginx.ask("kill")

    assert sum(reached(servers, "kill")) == most
    assert answer.status == 502
    assert answer.error["message"] == "the model server failed while it answered"
    assert "Retry-After" not in answer.headers
    assert statuses(nginx, 8) == {200: 8}


@pytest.mark.parametrize(("retry", "status", "times"), [("unsent", 502, 1), ("waiting", 200, 2)])
def test_a_request_that_is_lost_before_its_first_byte(
    nginx: RealNginx, serve: Serve, retry: str, status: int, times: int
) -> None:
    nginx.configure(retry=retry)
    servers = serve(3)
    sent = nginx.send("hold")
    wait_until(lambda: sum(reached(servers, "hold")) == 1)

    next(server for server in servers if server.got).die()
    for server in servers:
        server.release()

    answer = answer_of(sent)
    assert answer.status == status
    assert sum(reached(servers, "hold")) == times


@RETRIES
def test_a_request_that_is_lost_after_its_first_byte_is_not_sent_again(
    nginx: RealNginx, serve: Serve, retry: str
) -> None:
    nginx.configure(retry=retry)
    servers = serve(3)

    with pytest.raises(http.client.IncompleteRead):
        nginx.ask("cut")

    assert sum(reached(servers, "cut")) == 1


@RETRIES
def test_a_request_on_which_a_server_is_silent_is_not_sent_again(
    nginx: RealNginx, serve: Serve, retry: str
) -> None:
    nginx.configure(retry=retry, read_timeout_s=1)
    servers = serve(3)

    answer = nginx.ask("hold")

    assert (answer.status, answer.error["message"]) == (504, "the model server was silent for 1 s")
    assert sum(reached(servers, "hold")) == 1


def test_a_server_that_refuses_does_not_use_up_the_one_more_try(
    nginx: RealNginx, serve: Serve
) -> None:
    nginx.configure(retry="waiting")
    servers = serve(3)
    servers[0].die()

    answer = nginx.ask("lost")

    assert answer.status == 502
    assert sum(reached(servers, "lost")) == 2


def test_no_open_server_is_503_with_a_time_to_come_back(nginx: RealNginx, serve: Serve) -> None:
    servers = serve(2)
    nginx.open(servers, closed=servers)

    answer = nginx.ask()

    assert (answer.status, answer.error["message"]) == (503, "no model server is open")
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["X-Request-Id"]
