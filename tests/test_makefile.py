"""What the targets of the Makefile need of the machine that they run on."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER, ENGINE = "python3 -m engine docker", "python3 -m engine ensure"


def told(*arguments: str) -> str:
    """Return what `make` would run; the stack file is read as it is for a real run."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MF"))}
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env=own, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("target", ["preview", "down", "recover", "forget"])
def test_what_drives_hosts_needs_no_docker_here(target: str) -> None:
    run = told(target, "STACK=dev")

    assert (DOCKER in run, ENGINE in run) == (False, True)


@pytest.mark.parametrize(("stack", "needs"), [("dev", True), ("rig", False)])
def test_docker_is_got_where_a_host_of_the_stack_is_this_machine(stack: str, needs: bool) -> None:
    run = told("up", f"STACK={stack}")

    assert (DOCKER in run, ENGINE in run) == (needs, True)


def test_the_emulated_host_is_started_without_a_pulumi_engine() -> None:
    run = told("rig")

    assert (DOCKER in run, ENGINE in run) == (True, False)
