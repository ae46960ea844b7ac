"""The health check of an instance, run by the shell beside a server that answers by a script."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from planner.health import LOOK_S, LOOKS, health_check
from tests.lifecycle.local_server import CUT, Answer, LocalServer, serve

LIVE, METRICS = "GET /v2/health/live", "GET /metrics"
KILLED = "killed -9 -1\n"

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def metrics(running: int, answered: int) -> Answer:
    lines = [
        f'ovms_current_graphs{{name="m"}} {running}.0',
        f'ovms_responses{{name="m",method="Stream"}} {answered}.0',
        f'ovms_requests_accepted{{name="m"}} {time.monotonic()}',
    ]
    return 200, "\n".join(lines)


def look(port: int, folder: Path, *, silence_s: int = 60) -> tuple[int, str]:
    """Run the check; return its status, and what it would have killed."""
    text, count = re.subn(r"\bkill ", "echo killed ", health_check(port, silence_s=silence_s))
    assert (count, "kill " in text) == (2, False)
    for place in ("/tmp/", "/proc/"):  # noqa: S108
        text = text.replace(place, f"{folder}{place}")
        (folder / place.strip("/")).mkdir(exist_ok=True)
    # One look at a silent server is enough for a test; what is run else is as it is.
    text = text.replace(f"--max-time {LOOK_S}", "--max-time 0.3")
    text = re.sub(rf"sleep (0\.5|{LOOK_S})", "sleep 0", text)
    # Where the real one is dead, this one would go on.
    text = text.replace("echo killed -9 -1;", "echo killed -9 -1; exit 1;")
    done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def use_cpu(folder: Path, ticks: int) -> None:
    """Have the server's process have used so much of its CPUs."""
    stat = folder / "proc/7/stat"
    stat.parent.mkdir(parents=True, exist_ok=True)
    stat.write_text(f"7 (a server) S 1 7 7 0 -1 4194560 9 0 0 0 {ticks} 5 0 0 20 0 1 0 1 2 3\n")


def listen(folder: Path, port: int, table: str = "tcp") -> None:
    """Have the kernel say that something listens, and that there is a connection to it."""
    zero = "0" * {"tcp": 8, "tcp6": 32}[table]
    rows = (
        f"   0: {zero}:{port:04X} {zero}:0000 0A\n",
        f"   1: {zero}:0050 {zero}:{port:04X} 01\n",
    )
    sockets = folder / "proc/net" / table
    sockets.parent.mkdir(parents=True)
    sockets.write_text("".join(rows))


@needs_curl
def test_a_server_that_answers_is_healthy_and_lives(tmp_path: Path) -> None:
    server = LocalServer(answers={LIVE: [(200, "")], METRICS: [metrics(0, 0)]})
    with serve(server):
        assert look(server.port, tmp_path) == (0, "")


@needs_curl
def test_a_port_that_refuses_is_unhealthy_and_no_hang(tmp_path: Path) -> None:
    assert look(1, tmp_path) == (1, "")


@needs_curl
def test_a_server_that_is_silent_in_all_looks_and_uses_no_cpu_is_killed(tmp_path: Path) -> None:
    """It is stopped, or waits for itself, for which it wakes up now and then."""
    asked: list[str] = []

    def ask(request: str) -> None:
        asked.append(request)
        use_cpu(tmp_path, 1000 + len(asked))

    use_cpu(tmp_path, 1000)
    server = LocalServer(answers={LIVE: [None]}, on_request=ask)
    with serve(server):
        assert look(server.port, tmp_path) == (1, KILLED)
    assert asked == [LIVE] * LOOKS


@needs_curl
def test_a_silent_one_that_uses_its_cpus_is_slow_and_is_killed_late(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    def ask(request: str) -> None:
        asked.append(request)
        use_cpu(tmp_path, 1000 + 50 * len(asked))

    use_cpu(tmp_path, 1000)
    server = LocalServer(answers={LIVE: [None]}, on_request=ask)
    with serve(server):
        seen = [look(server.port, tmp_path, silence_s=90) for _ in range(2)]
        since = tmp_path / "tmp/silent"
        since.write_text(str(int(since.read_text()) - 90))
        seen += [look(server.port, tmp_path, silence_s=90)]
    assert seen == [(1, ""), (1, ""), (1, KILLED)]


@needs_curl
@pytest.mark.parametrize(
    ("ticks_a_look", "killed"), [(30, KILLED), (50, "")], ids=["hangs", "generates"]
)
def test_one_that_cuts_all_looks_is_killed_unless_it_works(
    tmp_path: Path, ticks_a_look: int, killed: str
) -> None:
    """As a server may that has no file left for a new connection, and goes on with the others."""
    use_cpu(tmp_path, 1000)
    asked: list[str] = []

    def ask(request: str) -> None:
        asked.append(request)
        use_cpu(tmp_path, 1000 + ticks_a_look * len(asked))

    server = LocalServer(answers={LIVE: [CUT]}, on_request=ask)
    with serve(server):
        listen(tmp_path, server.port)
        assert look(server.port, tmp_path) == (1, killed)
    assert asked == [LIVE] * LOOKS


@pytest.mark.parametrize(
    ("table", "exits", "killed"),
    [
        ("", (7,), ""),
        ("tcp", (7, 7, 7), KILLED),
        ("tcp6", (7, 56, 7), KILLED),
        ("tcp", (56, 56, 0), ""),
        ("tcp", (56, 6), ""),
    ],
    ids=["refused", "reset early", "reset early or late", "answered at last", "no look at all"],
)
def test_a_connection_that_is_reset_may_look_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    exits: tuple[int, ...],
    killed: str,
) -> None:
    """By curl's exit codes, as which of both it sees is a matter of luck."""
    if table:
        listen(tmp_path, 8000, table)
    curl, left = tmp_path / "curl", tmp_path / "exits"
    curl.write_text(f"#!/bin/sh\ncode=$(head -n 1 {left})\nsed -i 1d {left}\nexit $code\n")
    curl.chmod(0o755)
    left.write_text("".join(f"{code}\n" for code in exits))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert look(8000, tmp_path) == (int(0 not in exits), killed)
    assert left.read_text() == ""


@needs_curl
def test_an_answer_in_between_begins_that_time_anew(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/silent").write_text("1")
    server = LocalServer(answers={LIVE: [(200, "")], METRICS: [metrics(0, 0)]})
    with serve(server):
        assert look(server.port, tmp_path) == (0, "")
    assert not (tmp_path / "tmp/silent").exists()


@needs_curl
def test_one_that_answers_the_last_look_lives(tmp_path: Path) -> None:
    live: list[Answer] = [None, None, (200, "")]
    server = LocalServer(answers={LIVE: live, METRICS: [metrics(1, 0)]})
    with serve(server):
        assert look(server.port, tmp_path) == (0, "")


@needs_curl
def test_one_that_answers_something_meanwhile_lives_however_much_waits(tmp_path: Path) -> None:
    server = LocalServer(
        answers={LIVE: [(200, "")], METRICS: [metrics(9, count) for count in range(3)]}
    )
    with serve(server):
        seen = [look(server.port, tmp_path, silence_s=0) for _ in range(3)]
    assert seen == [(0, "")] * 3


@needs_curl
def test_one_that_answers_nothing_for_so_long_is_killed(tmp_path: Path) -> None:
    """More requests that come are no answers."""
    server = LocalServer(
        answers={LIVE: [(200, "")], METRICS: [metrics(9, 5), metrics(9, 5), metrics(12, 5)]}
    )
    with serve(server):
        seen = [look(server.port, tmp_path)]
        last = tmp_path / "tmp/answered"
        since, *answered = last.read_text().splitlines()
        last.write_text("\n".join([str(int(since) - 60), *answered]) + "\n")
        seen += [look(server.port, tmp_path)]
    assert seen == [(0, ""), (1, KILLED)]


@needs_curl
def test_one_with_nothing_in_progress_lives_however_long_it_is_silent(tmp_path: Path) -> None:
    server = LocalServer(answers={LIVE: [(200, "")], METRICS: [metrics(0, 5)]})
    with serve(server):
        seen = [look(server.port, tmp_path, silence_s=0) for _ in range(2)]
    assert seen == [(0, "")] * 2


@needs_curl
def test_one_without_metrics_lives(tmp_path: Path) -> None:
    server = LocalServer(answers={LIVE: [(200, "")], METRICS: [(400, "not enabled")]})
    with serve(server):
        seen = [look(server.port, tmp_path, silence_s=0) for _ in range(2)]
    assert seen == [(0, "")] * 2
