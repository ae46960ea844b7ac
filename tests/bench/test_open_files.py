"""The limit of open files, in a process of its own: a raised limit cannot be lowered here."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import resource, sys
from bench.open_files import allow_connections
soft, hard, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
try:
    allow_connections(count)
except Exception as error:
    print(error)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def after(soft: int, hard: int, count: int) -> list[str]:
    """Return what a process with these limits prints that needs so many connections."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_soft_limit_is_raised_as_far_as_it_is_needed() -> None:
    ((soft, hard),) = (line.split() for line in after(256, 4000, 2000))

    assert 2000 < int(soft) < 2100
    assert hard == "4000"


def test_a_limit_that_is_high_enough_is_left() -> None:
    assert after(3000, 4000, 2000) == ["3000 4000"]


def test_a_hard_limit_that_is_too_low_is_refused_with_what_fits() -> None:
    refusal, limits = after(256, 500, 2000)

    assert refusal.startswith("2000 connections at once need 20")
    assert "this process may have 500 (its hard limit)" in refusal
    fits = int(refusal.rpartition("--max-concurrency ")[2].rstrip("."))
    assert 400 < fits < 500
    assert limits == "256 500"
    assert after(256, 500, fits) == ["500 500"]
