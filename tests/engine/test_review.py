"""The review job of docs/operations.md, as it is printed there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.engine.stack import ROOT, engine_environment
from tests.engine.test_state import checkout_at

pytestmark = pytest.mark.engine


def _job() -> str:
    """The first shell block of the chapter."""
    chapter = (ROOT / "docs/operations.md").read_text().split("\n## Review in CI\n", 1)[1]
    block = re.search(r"^```sh\n(.*?)^```$", chapter, re.MULTILINE | re.DOTALL)
    assert block is not None
    return block[1]


def test_the_review_job_previews_a_stack_whose_host_it_does_not_reach(tmp_path: Path) -> None:
    checkout = checkout_at(tmp_path / "checkout")
    # Older than the environment that it shares, so that make leaves that one alone.
    os.utime(checkout / "requirements.txt", (0, 0))
    # What is the engine's, and nothing that a shell of this project was told.
    fresh = {name: os.environ[name] for name in ("HOME", "XDG_CACHE_HOME") if name in os.environ}
    env = {**fresh, "PATH": engine_environment()["PATH"]}

    run = subprocess.run(
        ["bash", "-e", "-c", _job()], cwd=checkout, env=env, check=False, timeout=120, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
    assert "not looked at: ssh://operator@dual-socket.example" in run.stdout
    assert "dual-socket-node1-0  1          32-63,96-127" in run.stdout
    assert "20 to create" in run.stdout
