import re
import time
from collections.abc import Callable

import pytest

from lifecycle import readiness
from lifecycle.errors import LifecycleError
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.local_server import serve
from tests.lifecycle.world import CONTAINER, MODEL, World

READY, COMPLETIONS = f"GET /v2/models/{MODEL}/ready", "POST /v3/completions"
LOG = "[2026-11-22 10:00:00.000][7][serving][error] {}\n\n"


@pytest.fixture(autouse=True)
def _runs(world: World) -> None:
    world.instance.status = "running"
    world.instance.log = LOG.format("Loading the model failed")


def wait(world: World, **changes: object) -> None:
    spec, container = world.spec(**changes), world.engine.container(CONTAINER)
    readiness.wait_until_it_generates(spec, world.link, container, world.said.append)


def message_of(world: World, **changes: object) -> str:
    with pytest.raises(LifecycleError) as refused:
        wait(world, **changes)
    return str(refused.value)


def test_a_model_is_waited_for_and_then_generates_one_token(world: World) -> None:
    world.server.answers[READY] = [(404, ""), (404, ""), (200, "")]

    wait(world)

    assert world.calls == [f"server: {READY}"] * 3 + [f"server: {COMPLETIONS}"]
    assert world.server.bodies[-1] == f'{{"model": "{MODEL}", "prompt": "1", "max_tokens": 1}}'
    assert world.told() == [f"waiting for the model {MODEL}", "ready", "first token after N s"]


def test_how_long_a_model_takes_to_be_ready_is_told_since_the_start(world: World) -> None:
    world.server.answers[READY] = [(404, ""), (200, "")]
    container = world.engine.container(CONTAINER)

    readiness.wait_until_it_generates(
        world.spec(models=(MODEL, MODEL)),
        world.link,
        container,
        world.said.append,
        time.monotonic() - 60,
    )

    waiting, *steps = (
        f"waiting for the model {MODEL}",
        r"ready after 6\d\.\d s",
        r"first token after \d\.\d s",
    )
    for words, pattern in zip(world.said, (waiting, *steps, waiting, *steps), strict=True):
        assert re.fullmatch(pattern, words)


def test_every_model_is_asked_in_turn_under_its_own_name(world: World) -> None:
    other = "org/a model"
    world.server.answers |= {
        READY: [(200, "")],
        "GET /v2/models/org%2Fa%20model/ready": [(200, "")],
    }

    wait(world, models=(MODEL, other))

    assert world.calls == [
        f"server: {READY}",
        f"server: {COMPLETIONS}",
        "server: GET /v2/models/org%2Fa%20model/ready",
        f"server: {COMPLETIONS}",
    ]


def test_a_model_that_is_never_ready_ends_the_wait(
    world: World, golden: Callable[[str], str]
) -> None:
    world.server.answers[READY] = [(404, '{"error":"Model with requested name is not found"}')]

    message = message_of(world, timeouts={"start_s": 0})

    assert message == golden("never_ready")
    assert f"server: {COMPLETIONS}" not in world.calls


def test_a_port_that_stays_closed_ends_the_wait(world: World, golden: Callable[[str], str]) -> None:
    with serve(type(world.server)(answers={})) as gone:
        pass

    assert message_of(world, port=gone.port, timeouts={"start_s": 0}) == golden("port_closed")


def test_a_server_that_exits_is_seen_at_once(world: World, golden: Callable[[str], str]) -> None:
    world.instance.status, world.instance.exit_code = "exited", 64
    world.instance.log = LOG.format("No such option: --no-such-flag")

    assert message_of(world, timeouts={"start_s": 3600}) == golden("exited")


def test_a_server_that_memory_ran_out_for_is_named_as_such(
    world: World, golden: Callable[[str], str]
) -> None:
    world.instance.status, world.instance.exit_code = "exited", 137
    world.instance.out_of_memory, world.instance.memory_limit = True, 1792 << 20

    assert message_of(world, timeouts={"start_s": 3600}) == golden("out_of_memory")


def test_memory_may_run_out_where_there_is_no_limit(world: World) -> None:
    world.instance.status, world.instance.out_of_memory = "exited", True

    assert "because memory ran out." in message_of(world, timeouts={"start_s": 3600})


def test_a_generation_that_is_refused_is_told_with_its_answer(
    world: World, golden: Callable[[str], str]
) -> None:
    world.server.answers[COMPLETIONS] = [(400, '{"error":"Mediapipe graph failed"}')]

    assert message_of(world) == golden("generation_refused")


@pytest.mark.parametrize("answer", ["forty-two", '{"choices": []}', "[]"])
def test_an_answer_without_a_choice_is_no_generation(world: World, answer: str) -> None:
    """Some servers answer 200 to all."""
    world.server.answers[COMPLETIONS] = [(200, answer)]

    assert f"/v3/completions answers 200 {answer} (bound: 5 s)" in message_of(world)


def test_a_generation_that_hangs_is_given_up_after_its_bound(
    world: World, golden: Callable[[str], str]
) -> None:
    """The model is ready and the server healthy all the while."""
    world.server.answers[COMPLETIONS] = [None]

    assert message_of(world, timeouts={"generate_s": 1}) == golden("generation_hangs")


def test_a_server_that_dies_while_it_generates_is_seen(
    world: World, golden: Callable[[str], str]
) -> None:
    def die() -> None:
        world.instance.status, world.instance.exit_code = "exited", 139
        world.server.closing.set()

    world.server.answers[COMPLETIONS] = die

    assert message_of(world) == golden("died_generating")


def test_a_log_that_cannot_be_read_does_not_hide_what_happened(world: World) -> None:
    world.instance.status, world.instance.exit_code = "exited", 64
    world.instance.refusals["logs"] = refusal("configured logging driver does not support reading")

    message = message_of(world)

    assert "the server exited with status 64." in message
    assert "log lines" not in message
