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
    text = _request(endpoint, "GET", "/models")
    try:
        return str(json.loads(text)["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise _unanswered(endpoint, f"no list of models: {text[:200]}") from None


def ask(endpoint: str, model: str, question: str) -> str:
    """
    Return the answer of *model* at *endpoint*.

    Raises:
        LifecycleError: the endpoint does not answer, or not with a completion.
    """
    text = _request(endpoint, "POST", "/chat/completions", request_body(model, question))
    try:
        return str(json.loads(text)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError):
        raise _unanswered(endpoint, f"no completion: {text[:200]}") from None


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
