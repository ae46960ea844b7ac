"""
A version that fails, under clients: it stops at the first instance, the settings before bring that
one back, and no request of all that time is lost.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.record import Record
from tests.engine import nonsense
from tests.engine.failed_run import golden, log_lines, message
from tests.engine.rolling_changes import Settings
from tests.engine.rolling_load import LIGHT, Clients, lost
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

FIRST, SECOND = INSTANCES
CHANGED_FLAG: Mapping[str, Any] = {"log-level": "DEBUG"}
MEANWHILE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """
    A version that was tried under clients, and the settings before it after that.

    Attributes:
        failed: the run that brought the version up.
        state: of the first instance's container after that.
        server_log: what its server wrote.
        healed: the run that brought the settings before up again.
        untouched: whether the second instance ran on through all of it.
        between: the requests that began after the one run and ended before the other.
        records: all requests.
    """

    failed: Run
    state: str
    server_log: str
    healed: Run
    untouched: bool
    between: tuple[Record, ...]
    records: tuple[Record, ...]


def attempt(
    stack: Stack,
    version: Settings,
    meanwhile: AbstractContextManager[object] | None = None,
) -> Tried:
    """Bring up *version*, with *meanwhile* around it, and then the settings before it."""
    before = _started(stack, SECOND)
    with Clients(str(stack.outputs()["endpoint"]), LIGHT) as clients:
        clients.until_all_answer(2)
        stack.configure(version)
        with meanwhile or nullcontext():
            failed = stack.up()
        first = stack.container(FIRST)
        log = first.logs().decode()
        begin = time.monotonic()
        clients.until_answers(MEANWHILE)
        end = time.monotonic()
        stack.configure({})
        healed = stack.up()
        clients.until_all_answer(2)
        records = clients.end()
    return Tried(
        failed=failed,
        state=first.status,
        server_log=log,
        healed=healed,
        untouched=_started(stack, SECOND) == before,
        between=tuple(one for one in records if begin < one.started and one.ended < end),
        records=tuple(records),
    )


def _started(stack: Stack, name: str) -> tuple[str, str]:
    container = stack.container(name)
    return container.id, container.attrs["State"]["StartedAt"]


def check(tried: Tried, name: str) -> None:
    """It failed as agreed in *name*, was taken back, and nobody noticed."""
    assert tried.failed.status != 0
    assert message(tried.failed) == golden(name)
    shown = log_lines(tried.failed)
    assert shown
    assert set(shown) <= {line.strip() for line in tried.server_log.splitlines()}
    assert tried.state == "exited"
    assert tried.healed.status == 0, tried.healed.output
    touched = {step.name.removesuffix("-activation") for step in tried.healed.changed()}
    assert touched & set(INSTANCES) == {FIRST}
    assert tried.untouched
    assert len({one.instance for one in tried.between}) == 1, "the second answers alone"
    assert lost(tried.records) == []
    assert {one.output_tokens for one in tried.records} == {LIGHT.short_tokens, LIGHT.long_tokens}


@contextmanager
def model_away(stack: Stack) -> Iterator[None]:
    """Take the model from servers that are started meanwhile: they go on, and are never ready."""
    mount = stack.container(FIRST).attrs["Mounts"]
    volume = next(Path(one["Source"]) for one in mount if one["Destination"] == "/workspace")
    model, elsewhere = volume / MODEL, volume / "elsewhere"
    model.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(model)


@contextmanager
def moved_when_it_starts(stack: Stack) -> Iterator[None]:
    """Have the first instance moved to another CPU between its binding and its proof."""

    def move() -> None:
        for event in stack.client.events(decode=True, filters={"event": "start"}):
            if event["Actor"]["Attributes"].get("name") == f"{stack.prefix}-{FIRST}":
                stack.container(FIRST).update(cpuset_cpus="1")
                return

    thread = threading.Thread(target=move, daemon=True)
    thread.start()
    yield
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def nonsensical(created: tuple[Stack, Run]) -> Iterator[str]:
    """An image of a server that answers nonsense."""
    stack, _ = created
    repository, tag = "ovms-numa-try", "nonsense"
    helper = stack.client.containers.create(stack.container(FIRST).attrs["Config"]["Image"])
    program = ["python3", "-c", Path(nonsense.__file__).read_text()]
    helper.commit(repository, tag, changes=[f"ENTRYPOINT {json.dumps(program)}"])
    helper.remove()
    yield f"{repository}:{tag}"
    stack.client.images.remove(f"{repository}:{tag}")


def test_one_that_is_never_ready(stack: Stack) -> None:
    version = {"server": CHANGED_FLAG, "rollout": {"start-timeout-s": 15}}

    tried = attempt(stack, version, model_away(stack))

    check(tried, "model")
    stack.nothing_to_do()


def test_one_that_exits_at_its_start(stack: Stack) -> None:
    tried = attempt(stack, {"server": {"flags": {"no-such-flag": "1"}}})

    check(tried, "flag")
    assert any("no-such-flag" in line for line in log_lines(tried.failed))
    stack.nothing_to_do()


def test_one_that_answers_nonsense(stack: Stack, nonsensical: str) -> None:
    tried = attempt(stack, {"server": {"image": nonsensical}})

    check(tried, "nonsense")
    stack.nothing_to_do()


def test_one_that_fails_its_proof(stack: Stack) -> None:
    tried = attempt(stack, {"server": CHANGED_FLAG}, moved_when_it_starts(stack))

    check(tried, "moved")
    stack.nothing_to_do()
