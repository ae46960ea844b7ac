"""
``python3 generate_once.py PORT MODEL``: wait for the server beside this process, ask it once.

Prints JSON: seconds from the start of the container until the model was ready, and seconds that
one token took. Runs as text inside the server's own container, so it needs nothing but the
standard library.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

_EVERY_S = 0.5
_WITHIN_S = 300


def age_s() -> float:
    """Return the seconds since the container's first process was started."""
    ticks = int(Path("/proc/1/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - ticks / os.sysconf("SC_CLK_TCK")


def wait(url: str) -> None:
    """
    Wait until *url* answers with success.

    Raises:
        TimeoutError: it did not within five minutes.
    """
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=_EVERY_S * 10):  # noqa: S310 - http
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(_EVERY_S)
    raise TimeoutError(url)


def main(port: str, model: str) -> None:
    """Wait, ask for one token, print both times."""
    base = f"http://127.0.0.1:{port}"
    wait(f"{base}/v2/models/{model}/ready")
    ready_s = age_s()
    body = json.dumps({"model": model, "prompt": "hello", "max_tokens": 1}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/v3/completions", body, headers)  # noqa: S310 - http
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:  # noqa: S310 - http
        answer.read()
    json.dump({"ready_s": ready_s, "token_s": time.monotonic() - began}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
