import threading
from collections.abc import Callable

import pytest

from lifecycle import balancer_config
from lifecycle.errors import LifecycleError
from lifecycle.spec import BalancerRef
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.world import BALANCER, World, balancer

REF = BalancerRef.model_validate(balancer())


def test_a_balancer_that_runs_is_not_started(world: World) -> None:
    balancer_config.start(world.link, REF, start_s=0)

    assert world.calls == []


def test_a_balancer_is_started_and_waited_for(world: World) -> None:
    world.balancer.status = "created"
    world.balancer.on_start = lambda: threading.Timer(0.2, world.load).start()
    (world.volume / "loaded").unlink()

    balancer_config.start(world.link, REF, start_s=5)

    assert world.calls == [f"{BALANCER}: start"]
    assert (world.volume / "loaded").exists()


def test_a_port_that_is_taken_is_told_in_dockers_words(
    world: World, golden: Callable[[str], str]
) -> None:
    world.balancer.status = "created"
    world.balancer.refusals["start"] = refusal(
        "failed to bind host port for 127.0.0.1:8000: address already in use"
    )

    with pytest.raises(LifecycleError) as refused:
        balancer_config.start(world.link, REF, start_s=5)

    assert str(refused.value) == golden("balancer_port_taken")


@pytest.mark.parametrize(
    ("status", "seen"),
    [("exited", "it ended with status 1"), ("running", "no answer at 127.0.0.1:PORT within 0 s")],
)
def test_a_balancer_that_does_not_answer_is_told_with_its_log_and_stopped(
    world: World, status: str, seen: str
) -> None:
    """One that exits at once, not after the bound."""

    def fail() -> None:
        world.balancer.status = status
        world.balancer.log = "nginx: [emerg] bind() to 0.0.0.0:8080 failed\n"

    world.balancer.status = "created"
    world.balancer.on_start, world.balancer.exit_code = fail, 1
    (world.volume / "loaded").unlink()
    bound = 0 if status == "running" else 3600

    with pytest.raises(LifecycleError) as refused:
        balancer_config.start(world.link, REF, start_s=bound)

    port = vars(balancer_config)["LISTEN_PORT"]
    assert str(refused.value) == (
        f"{BALANCER}: starting the balancer: {seen.replace('PORT', str(port))}.\n"
        "  Its last log lines:\n"
        "    nginx: [emerg] bind() to 0.0.0.0:8080 failed\n"
        "  What to do: mend what its log names, then run `pulumi up` again."
    )
    assert world.calls == [f"{BALANCER}: start", f"{BALANCER}: stop within 1 s"]
