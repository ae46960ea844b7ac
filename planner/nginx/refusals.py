"""What the balancer itself answers, in the form of the OpenAI API, by status."""

import json

_CLIENT, _SERVER = "invalid_request_error", "server_error"

PAGES = "400 404 405 413 414 429 494 500 501 503 505"
"""
The statuses that Nginx answers of its own, as ``error_page`` lists them.

Without 502 and 504, a failed server, which another one may stand in for. 494 is its number for
headers that are too large, which it sends as 400.
"""


def render_refusals(*, max_body_mib: int, max_requests: int | None, read_timeout_s: int) -> str:
    """
    Render the map from status to body.

    Args:
        max_body_mib: the largest request.
        max_requests: how many the balancer has at once; none: any number, so that none is refused.
        read_timeout_s: how long an instance may be silent, in seconds.

    Returns:
        The lines inside of an Nginx ``map``.
    """
    bodies = {
        "default": ("the balancer failed", _SERVER),
        "400": ("not a request as HTTP has it, or its headers are too large", _CLIENT),
        "404": ("not served here", _CLIENT),
        "405": ("not with this method", _CLIENT),
        "413": (f"larger than {max_body_mib} MiB", _CLIENT),
        "414": ("its path is too long", _CLIENT),
        "429": (f"{max_requests} requests are in progress, the most at once", "rate_limit_error"),
        "501": ("its transfer encoding is not known", _CLIENT),
        "502": ("the model server failed while it answered", _SERVER),
        "503": ("no model server is open", _SERVER),
        "504": (f"the model server was silent for {read_timeout_s} s", _SERVER),
        "505": ("its version of HTTP is not served", _CLIENT),
    }
    if max_requests is None:
        del bodies["429"]
    return "\n".join(
        f"        {status} '{_body(message, kind)}';" for status, (message, kind) in bodies.items()
    )


def _body(message: str, kind: str) -> str:
    """Return an error's body in the form of the OpenAI API."""
    return json.dumps({"error": {"message": message, "type": kind}})
