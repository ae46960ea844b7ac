"""Ask a served stack one question, as a user would."""

import http.client
import json
from collections.abc import Callable
from urllib.parse import urlsplit

from lifecycle.errors import LifecycleError
from lifecycle.reach import reach
from lifecycle.stack_file import StackFile
from planner.nginx import LISTEN_PORT

_TIMEOUT_S = 120

Connect = Callable[[str, int, float], http.client.HTTPConnection]
"""How an address and port are reached, with the bound in seconds; `Link.http` is one."""


def way_to_balancer(stack: StackFile) -> Connect:
    """
    Return how the endpoint of *stack* is reached, whose address may be one of its host alone.

    Raises:
        LifecycleError: the balancer's host is not reached.
    """
    where = stack.hosts[stack.settings.balancer_host]
    if where.is_engine_only:
        link, inside = reach(where), f"{stack.project}-{stack.name}-balancer"
        return lambda address, _, bound_s: link.http(address, LISTEN_PORT, bound_s, inside=inside)
    return reach(where).http if where.is_remote else directly


def directly(address: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
    """Return a connection from this machine."""
    return http.client.HTTPConnection(address, port, timeout=timeout_s)


def first_model(endpoint: str, connect: Connect = directly) -> str:
    """
    Return the name of the first model that *endpoint* (``http://127.0.0.1:8000/v3``) serves.

    Raises:
        LifecycleError: the endpoint does not answer, or lists no model.
    """
    text = _request(connect, endpoint, "GET", "/models")
    try:
        return str(json.loads(text)["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise _unanswered(endpoint, f"no list of models: {text[:200]}") from None


def ask(endpoint: str, model: str, question: str, connect: Connect = directly) -> str:
    """
    Return the answer of *model* at *endpoint*.

    Raises:
        LifecycleError: the endpoint does not answer, or not with a completion.
    """
    text = _request(connect, endpoint, "POST", "/chat/completions", request_body(model, question))
    try:
        return str(json.loads(text)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        raise _unanswered(endpoint, f"no completion: {text[:200]}") from None


def _request(
    connect: Connect, endpoint: str, method: str, path: str, body: str | None = None
) -> str:
    url = urlsplit(endpoint)
    connection = connect(url.hostname or "", url.port or 80, _TIMEOUT_S)
    try:
        connection.request(method, url.path + path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(endpoint, f"no answer ({error})") from None
    finally:
        connection.close()
    if response.status != 200:
        raise _unanswered(endpoint, f"status {response.status}: {text[:200]}")
    return text


def _unanswered(endpoint: str, seen: str) -> LifecycleError:
    return LifecycleError(
        subject=endpoint,
        step="asking a question",
        seen=seen,
        remedy="look at `make status` and `make logs` (with STACK=NAME)",
    )


def request_body(model: str, question: str) -> str:
    """Return the JSON of a chat completion request for *question*."""
    return json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": 40,
            "temperature": 0,
        }
    )
