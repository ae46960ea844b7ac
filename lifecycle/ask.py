"""Ask a served stack one question, as a user would."""

import http.client
import json
from urllib.parse import urlsplit

from lifecycle.errors import LifecycleError

_TIMEOUT_S = 120


def first_model(endpoint: str) -> str:
    """
    Return the name of the first model that *endpoint* (``http://127.0.0.1:8000/v3``) serves.

    Raises:
        LifecycleError: the endpoint does not answer, or lists no model.
    """
    models = json.loads(_request(endpoint, "GET", "/models"))["data"]
    if not models:
        raise _unanswered(endpoint, "it lists no model")
    return str(models[0]["id"])


def ask(endpoint: str, model: str, question: str) -> str:
    """
    Return the answer of *model* at *endpoint*.

    Raises:
        LifecycleError: the endpoint does not answer, or not with a completion.
    """
    answer = json.loads(
        _request(endpoint, "POST", "/chat/completions", request_body(model, question))
    )
    return str(answer["choices"][0]["message"]["content"])


def _request(endpoint: str, method: str, path: str, body: str | None = None) -> str:
    url = urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=_TIMEOUT_S)
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
        remedy="look at `docker ps` and at the logs of the balancer and the instances",
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
