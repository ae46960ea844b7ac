"""
When an instance counts as serving: every model is ready and has generated a token.

A model server opens its port before its models are loaded and answers 404 until then, and its
health stays good while generation hangs; so neither is asked.
"""

import http.client
import json
import time
from collections.abc import Callable
from urllib.parse import quote

from docker.models.containers import Container

from lifecycle import docker_host
from lifecycle.errors import LifecycleError
from lifecycle.reach import Link
from lifecycle.spec import Activation

_POLL_S = 0.2
_SHOWN = 200


def wait_until_it_generates(
    spec: Activation,
    link: Link,
    container: Container,
    progress: Callable[[str], None],
    started: float | None = None,
) -> None:
    """
    Wait until every model of *spec* is ready and then let each generate one token.

    Args:
        spec: of the instance.
        link: to its host.
        container: its own.
        progress: is told each step.
        started: when it was started, of `time.monotonic`; None: it ran before.

    Raises:
        LifecycleError: the server exited, or a bound of *spec.timeouts* was reached.
    """
    deadline = time.monotonic() + spec.timeouts.start_s
    for model in spec.models:
        progress(f"waiting for the model {model}")
        _wait_until_ready(spec, link, container, model, deadline)
        asked = time.monotonic()
        progress("ready" if started is None else f"ready after {asked - started:.1f} s")
        _generate(spec, link, container, model)
        progress(f"first token after {time.monotonic() - asked:.1f} s")


def _wait_until_ready(
    spec: Activation, link: Link, container: Container, model: str, deadline: float
) -> None:
    step = f"waiting for the model {model!r}"
    path = f"/v2/models/{quote(model, safe='')}/ready"
    while True:
        status, answer = _request(spec, link, "GET", path, timeout_s=5)
        if status == 200:
            return
        _fail_if_exited(spec, container, step)
        if time.monotonic() > deadline:
            raise LifecycleError(
                subject=spec.instance,
                step=step,
                seen=f"after {spec.timeouts.start_s} s {path} still answers {answer[:_SHOWN]}",
                log_lines=docker_host.last_lines(container),
                remedy="correct what its log names (is the model in the `models.directory`, and "
                "its name in `models.names`?), or raise `rollout.start-timeout-s`; then run "
                "`pulumi up` again",
            )
        time.sleep(_POLL_S)


def _generate(spec: Activation, link: Link, container: Container, model: str) -> None:
    step = f"generating one token with the model {model!r}"
    body = {"model": model, "prompt": "1", "max_tokens": 1}
    status, answer = _request(
        spec, link, "POST", "/v3/completions", body=body, timeout_s=spec.timeouts.generate_s
    )
    if status != 200 or not _has_choice(answer):
        _fail_if_exited(spec, container, step)
        raise LifecycleError(
            subject=spec.instance,
            step=step,
            seen=f"/v3/completions answers {answer[:_SHOWN]} (bound: {spec.timeouts.generate_s} s)",
            log_lines=docker_host.last_lines(container),
            remedy="correct what its log names, or raise `rollout.generate-timeout-s`; then run "
            "`pulumi up` again",
        )


def _has_choice(answer: str) -> bool:
    """Tell whether a completion has a choice: some servers answer 200 to all."""
    try:
        return bool(json.loads(answer.partition(" ")[2])["choices"])
    except (ValueError, LookupError, TypeError):
        return False


def _fail_if_exited(spec: Activation, container: Container, step: str) -> None:
    container.reload()
    state = container.attrs["State"]
    if state["Status"] == "running":
        return
    seen = f"the server exited with status {state['ExitCode']}"
    remedy = "correct what its log names (a flag: `server.flags`; a file: `models.directory`)"
    if state["OOMKilled"]:
        limit = container.attrs["HostConfig"]["Memory"]
        bound = f" at its container's limit of {limit >> 20} MiB" if limit else ""
        seen = f"the server was killed because memory ran out{bound}"
        remedy = (
            "serve with a smaller KV cache or a smaller model, or let the instance have more "
            "(`models.memory-mib`, or `models.weights-mib` and `models.overhead-mib`)"
        )
    raise LifecycleError(
        subject=spec.instance,
        step=step,
        seen=seen,
        log_lines=docker_host.last_lines(container),
        remedy=f"{remedy}, "
        "then run `pulumi up` again: it retries this instance, the others stay as they are",
    )


def _request(
    spec: Activation, link: Link, method: str, path: str, *, timeout_s: float, body: object = None
) -> tuple[int | None, str]:
    """Ask the instance; return the status, and status and body in words."""
    connection = link.http(spec.reached_at, spec.port, timeout_s, inside=spec.container)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return None, f"nothing ({error or type(error).__name__})"
    finally:
        connection.close()
    return response.status, f"{response.status} {text}".strip()
