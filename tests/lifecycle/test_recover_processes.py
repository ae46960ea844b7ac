"""Plugins and actions without an engine are ended; those of others are left alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lifecycle import recover_processes
from lifecycle.errors import LifecycleError
from tests.lifecycle.recover_place import (
    PROJECT,
    Place,
    run_recovery,
    stand_up_place,
)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return stand_up_place(tmp_path, monkeypatch)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Starts a process that sleeps, called as told."""
    processes = []

    def _start(*argv: str, program: str = "/bin/sleep", **env: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            argv, executable=program, cwd=place.home, env={**os.environ, **env}
        )
        processes.append(process)
        return process

    yield _start
    for process in processes:
        process.kill()
        process.wait()


def _orphans(place: Place) -> set[int]:
    url = os.environ["PULUMI_BACKEND_URL"]
    return {one.pid for one in recover_processes.orphans(PROJECT, place.home, url)}


def _action(place: Place) -> tuple[str, ...]:
    """A command line that reads as an action's, and sleeps."""
    (place.home / "lifecycle").mkdir(exist_ok=True)
    (place.home / "lifecycle" / "__main__.py").write_text("import time; time.sleep(60)")
    return (sys.executable, "-m", "lifecycle", "activate")


def _wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_plugins_and_actions_without_an_engine_are_ended_and_waited_for(
    place: Place, start: Start, capsys: Captured
) -> None:
    plugin = start("pulumi-resource-docker", "600")
    action = start(*_action(place), program=sys.executable, PULUMI_PROJECT=PROJECT)

    status, lines, _ = run_recovery(capsys)

    assert status == 0
    ended = f"test: ended process {plugin.pid}, pulumi-resource-docker 600, whose run is gone"
    assert ended in lines
    assert plugin.wait(timeout=1) == -signal.SIGTERM
    assert action.wait(timeout=1) == -signal.SIGTERM


def test_a_plugin_that_does_not_go_is_killed(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_processes, "_TERM_WAIT_S", 0.2)
    ready = place.home / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    stubborn = start("pulumi-resource-docker", "-c", script, program="/bin/sh")
    _wait_until(ready.exists)

    found = recover_processes.orphans(PROJECT, place.home, os.environ["PULUMI_BACKEND_URL"])
    recover_processes.end(found)

    assert stubborn.wait(timeout=1) == -signal.SIGKILL


def test_a_process_that_does_not_go_at_all_is_named(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = start("pulumi-resource-docker", "600")
    monkeypatch.setattr(recover_processes, "_TERM_WAIT_S", 0.1)
    monkeypatch.setattr(recover_processes, "_KILL_WAIT_S", 0.1)
    found = recover_processes.orphans(PROJECT, place.home, os.environ["PULUMI_BACKEND_URL"])

    def refuse(*_: int) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", refuse)
        with pytest.raises(LifecycleError, match=f"kill -KILL {plugin.pid}"):
            recover_processes.end(found)


def test_a_plugin_whose_engine_lives_is_left_alone(place: Place, start: Start) -> None:
    engine = place.home / "engine" / "pulumi"
    engine.parent.mkdir()
    shutil.copy("/bin/bash", engine)
    script = "exec -a pulumi-resource-docker sleep 600 & echo $! > child; wait"
    living = start("pulumi", "-c", script, program=str(engine))
    child = place.home / "child"
    _wait_until(lambda: child.is_file() and child.read_text().strip())
    plugin = int(child.read_text())
    _wait_until(lambda: "pulumi-resource-docker" in recover_processes.command(plugin))
    try:
        assert _orphans(place) == set()
        living.kill()
        living.wait()
        assert _orphans(place) == {plugin}
    finally:
        os.kill(plugin, signal.SIGKILL)


@pytest.mark.parametrize(
    "env",
    [{"PULUMI_BACKEND_URL": "file:///elsewhere"}, {"PULUMI_PROJECT": "another"}, {}],
    ids=["of another backend", "of another project", "of a person in a shell"],
)
def test_an_action_of_someone_else_is_left_alone(
    place: Place, start: Start, env: dict[str, str]
) -> None:
    start(*_action(place), program=sys.executable, **env)

    assert _orphans(place) == set()


def test_a_plugin_of_another_checkout_is_left_alone(place: Place, start: Start) -> None:
    start("pulumi-resource-docker", "600")
    url = os.environ["PULUMI_BACKEND_URL"]

    assert recover_processes.orphans(PROJECT, place.home / "bin", url) == ()
