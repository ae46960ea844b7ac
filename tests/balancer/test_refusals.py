"""What the balancer does not serve, and how it says so, in the real Nginx."""

import http.client
import json
import socket

import pytest

from tests.balancer.asking import hold, statuses, wait_until
from tests.balancer.conftest import Serve
from tests.balancer.real_nginx import RealNginx, answer_of

pytestmark = pytest.mark.engine


def test_completions_above_the_limit_get_429_until_one_has_ended(
    nginx: RealNginx, serve: Serve
) -> None:
    nginx.configure(max_requests=3, retry_after_s=7)
    servers = serve(2)
    held = hold(nginx, 3)

    refused = nginx.ask()
    models = nginx.ask(method="GET", path="/v3/models")
    for server in servers:
        server.release()
    answered = [answer_of(one).status for one in held]

    assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
    assert refused.error["type"] == "rate_limit_error"
    assert (models.status, answered) == (200, [200] * 3)
    assert statuses(nginx, 4) == {200: 4}


def test_a_client_that_goes_away_is_counted_no_more(nginx: RealNginx, serve: Serve) -> None:
    nginx.configure(max_requests=1)
    serve(1)
    (held,) = hold(nginx, 1)
    assert nginx.ask().status == 429

    held.close()

    wait_until(lambda: nginx.ask().status == 200)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v3/completions", 405, "POST, OPTIONS"),
        ("DELETE", "/v3/chat/completions", 405, "POST, OPTIONS"),
        ("POST", "/v3/models", 405, "GET, OPTIONS"),
        ("TRACE", "/v3/models", 405, "GET, OPTIONS"),
        ("POST", "/v1/config/reload", 404, None),
        ("GET", "/metrics", 404, None),
        ("GET", "/v3/models/a/b", 404, None),
        ("GET", "/refused", 404, None),
        ("GET", f"/v3/models?{'a' * 9000}", 414, None),
    ],
)
def test_what_is_not_served_is_refused_in_the_api_s_form(
    nginx: RealNginx, serve: Serve, method: str, path: str, status: int, allow: str | None
) -> None:
    (server,) = serve(1)

    answer = nginx.ask(method=method, path=path)

    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["Content-Type"] == "application/json"
    assert server.got == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"no HTTP\r\n\r\n", 400),
        (b"GET /v3/models HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 400),
        (b"POST /v3/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n", 413),
        (b"POST /v3/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 501),
        (b"GET /v3/models HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ],
    ids=["no HTTP", "large headers", "large body", "unknown encoding", "unknown version"],
)
def test_what_is_no_request_is_refused_in_the_api_s_form(
    nginx: RealNginx, sent: bytes, status: int
) -> None:
    with socket.create_connection((nginx.address, nginx.port), timeout=10) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        text = response.read().decode()

    assert response.status == status
    assert json.loads(text)["error"]["type"] == "invalid_request_error"


def test_a_server_gets_the_path_that_was_looked_at(nginx: RealNginx, serve: Serve) -> None:
    (server,) = serve(1)

    nginx.ask(method="GET", path="/v1/config/reload/../../../v3/models?x=1")

    assert server.got == ["/v3/models?x=1"]


def test_a_request_as_large_as_the_setting_allows_is_passed_on(
    nginx: RealNginx, serve: Serve
) -> None:
    """It lies in the container until all of it is there."""
    nginx.configure(max_body_mib=100)
    (server,) = serve(1)
    prompt = "a" * (90 << 20)

    assert nginx.ask(prompt).status == 200
    assert server.got == [prompt]
