"""When a process of this machine begins to end."""

import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest

from tests.engine import faults_site
from tests.engine.faults_site import Site


def ending(pids: list[int]) -> float:
    return Site.until_one_ends(cast(Site, None), pids)


def test_the_first_process_that_ends_is_noticed_before_it_is_waited_for() -> None:
    words = [sys.executable, "-c", "input()"]
    first, second = (subprocess.Popen(words, stdin=subprocess.PIPE) for _ in range(2))
    before = time.monotonic()

    second.kill()
    at = ending([first.pid, second.pid])

    assert Path(f"/proc/{second.pid}").exists()
    assert before <= at <= time.monotonic()
    assert second.wait() != 0
    assert ending([second.pid]) >= at
    first.kill()
    for process in (first, second):
        process.communicate()


def test_a_process_that_goes_on_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_site, "_ENDS_WITHIN_S", 0.05)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    with pytest.raises(TimeoutError, match="began to end within"):
        ending([process.pid])

    process.kill()
    process.communicate()


def test_a_process_has_ended_when_nobody_has_waited_for_it_yet() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.kill()

    at = Site.until_ended(cast(Site, None), process.pid)

    assert at <= time.monotonic()
    assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    process.communicate()
