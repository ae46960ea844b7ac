"""
What goes wrong with the host under an `up`: Docker stops, or its disk is full.

Each is told in words and leaves nothing that the next `up` does not finish. On a Docker engine of
the tests' own, with a network and a small disk of its own; the tests follow each other, from an
engine that does not run yet to a stack that serves.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.private_daemon import PrivateDaemon, require
from tests.engine.stack import ROOT, Run, Stack
from tests.engine.test_up import INSTANCES

pytestmark = pytest.mark.engine

GOLDEN = Path(__file__).parents[1] / "data" / "host_faults"
FIRST, SECOND = INSTANCES
MIB = 1 << 20
NAME = "ovms-numa-hostfaults"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDaemon]:
    """A Docker engine of its own, which does not run yet."""
    require()
    folder = tmp_path_factory.mktemp("engine")
    daemon = PrivateDaemon(name=NAME, folder=folder, disk_mib=2048)
    daemon.set_up()
    try:
        yield daemon
    finally:
        daemon.remove()


@pytest.fixture(scope="module")
def stack(daemon: PrivateDaemon, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A stack on that engine, which nothing was made of yet; it goes with the engine's disk."""
    return Stack(
        name="hostfaults",
        folder=tmp_path_factory.mktemp("stack"),
        settings={
            "hosts": {"local": {"subnet": "172.30.115.0/24", "docker": daemon.url}},
            "placement": {
                "instances-per-node": 2,
                "cores-per-instance": 1,
                "cpu-sharing": "allowed",
            },
            "balancer": {"port": 18093},
            "rollout": {"start-timeout-s": 120, "drain-timeout-s": 60, "stop-timeout-s": 5},
        },
        client=daemon.client(),
        enter=daemon.enter,
    )


def test_docker_that_does_not_run_is_told_once_and_nothing_is_made(stack: Stack) -> None:
    preview = stack.preview()
    up = stack.up()

    assert (preview.status, up.status) == (1, 1)
    assert _told(stack, preview) == _told(stack, up) == _golden("stopped")
    assert [step.name for step in up.changed()] == [f"ovms-numa-{stack.name}"]


def test_a_disk_that_is_full_while_an_image_is_made(stack: Stack, daemon: PrivateDaemon) -> None:
    """The next test's `up` makes it."""
    daemon.start()
    daemon.fill(leave=50 * MIB)

    run = stack.up()

    daemon.make_space()
    assert run.status != 0
    assert _told(stack, run) == _golden("full_image")


def test_docker_that_stops_while_the_model_is_prepared(stack: Stack, daemon: PrivateDaemon) -> None:
    """What converts it stays behind then, and holds the volume; the next test finds it gone."""
    run = _up(stack, r": converting$", daemon.stop)

    daemon.start()
    assert run.status != 0
    assert _told(stack, run) == _golden("stopped_preparing")
    assert len(_helpers(stack)) == 1


def test_a_disk_that_is_full_while_the_model_is_prepared(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    """It is copied to the converter and, from there, to the volume: there is room for one copy."""
    source = sum(file.stat().st_size for file in (ROOT / ".staged" / "model").iterdir())
    daemon.fill(leave=source * 3 // 2)

    run = stack.up()

    daemon.make_space()
    assert run.status != 0
    assert _told(stack, run) == _golden("full_model")
    _next_up_finishes(stack)


def test_docker_that_stops_while_an_instance_waits_for_its_model(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    stack.configure({"server": {"log-level": "WARNING"}})

    run = _up(stack, rf"{FIRST}: waiting for the model", daemon.stop)

    assert run.status != 0
    assert _told(stack, run) == _golden("stopped_waiting")
    assert _told(stack, stack.preview()) == _golden("stopped")
    daemon.start()
    _next_up_finishes(stack)


def test_a_disk_that_is_full_while_the_configuration_is_pushed(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    stack.configure({"balancer": {"read-timeout-s": 333}})
    daemon.fill(leave=0)

    run = stack.up()

    assert run.status != 0
    assert _told(stack, run) == _golden("full_configuration")
    assert _serves(stack), "as it did, with the configuration that it had"
    daemon.make_space()
    _next_up_finishes(stack)


def _up(stack: Stack, words: str, happens: Callable[[], None]) -> Run:
    """Run `up`, and have something happen when its output first has a line with *words*."""
    process = stack.start(
        "up", "--yes", "--skip-preview", "--stack", stack.name, "--non-interactive",
        "--color", "never", "--config-file", str(stack.folder / "stack.yaml"),
    )  # fmt: skip
    lines = []
    waiting = True
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.append(line)
            if waiting and re.search(words, line.rstrip()):
                waiting = False
                happens()
    status = process.wait(timeout=60)
    assert not waiting, "".join(lines)
    return Run(status=status, output="".join(lines))


def _told(stack: Stack, run: Run) -> str:
    """What a run says below its last headline, without the plan and what differs each time."""
    text = run.output.partition("Diagnostics:\n")[2]
    text = re.split(r"^(?:Outputs|Resources):", text, maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r"^    The plan of .*?(?=^    error: )", "", text, flags=re.DOTALL | re.MULTILINE)
    for pattern, mask in _MASKS.items():
        text = re.sub(pattern, mask, text)
    text = text.replace(str(stack.folder.parent), "(folder)")
    blocks = re.split(r"\n\n(?=  \w)", text.rstrip())
    return "\n\n".join(sorted(blocks)) + "\n"


# Docker's own words differ between its versions, the converter's with where it ran out of space.
_MASKS = {
    r"(?<=call: ).*(?=no space left on device)": "(its words): ",
    r"(?<=legacy build: ).*(?=no space left on device)": "(the engine's words): ",
    r"(?<=Its last log lines:\n)(?: {8}.*\n)+": "        (log)\n",
    r"\d+(?= MiB left)": "(some)",
    # Whether Docker ended before a request of it, or in the middle.
    r"(?<=any more )\((?:No such file or directory|Connection reset by peer)\)": "(why)",
    r"engine\d+(?=/)": "engine",
    r"(?<=-)[0-9a-f]{12}-[0-9a-f]{8}\b": "(hash)-(id)",
    r"(?<=-)[0-9a-f]{12}\b": "(hash)",
    r"[ \t]+(?=\n)": "",
}


def _golden(name: str) -> str:
    return (GOLDEN / f"{name}.txt").read_text()


def _next_up_finishes(stack: Stack) -> None:
    run = stack.up()
    assert run.status == 0, run.output
    stack.nothing_to_do()
    assert _serves(stack)
    assert _helpers(stack) == []


def _helpers(stack: Stack) -> list[str]:
    """The containers there that the stack does not know."""
    known = {f"{stack.prefix}-{role}" for role in ("balancer", *INSTANCES)}
    there = stack.client.containers.list(all=True)
    return [str(one.name) for one in there if one.name not in known]


def _serves(stack: Stack) -> bool:
    """Whether all instances are open, proven and ready."""
    file = stack.folder / f"Pulumi.{stack.name}.yaml"
    if not file.exists():
        file.symlink_to("stack.yaml")
        (stack.folder / "Pulumi.yaml").symlink_to(ROOT / "Pulumi.yaml")
    command = [*stack.enter, "venv/bin/python", "-m", "lifecycle", "status", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.returncode == 0 and "2 of 2 instances serve" in done.stdout
