from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from lifecycle.errors import LifecycleError
from lifecycle.prepare import prepare
from lifecycle.spec import Prepare
from tests.lifecycle.docker_double import Machine
from tests.lifecycle.world import World


@pytest.fixture
def helper(world: World, tmp_path: Path) -> Machine:
    """The container that converts; its /tmp is a folder."""
    (tmp_path / "inside").mkdir()
    machine = Machine(
        name="helper",
        calls=world.calls,
        mounts={"/tmp": tmp_path / "inside"},  # noqa: S108
        status="created",
    )
    world.engine.helper = lambda _: machine
    world.engine.volumes.labels["stack-models"] = {}
    return machine


@pytest.fixture
def spec(tmp_path: Path) -> Prepare:
    source = tmp_path / "staged"
    source.mkdir()
    (source / "model.bin").write_bytes(b"weights")
    (source / "config.json").write_text("{}")
    return Prepare.model_validate(
        {
            "version": 1,
            "docker": "unix:///var/run/docker.sock",
            "image": "stack/devserver:1",
            "volume": "stack-models",
            "source": str(source),
            "command": ["convert", "/tmp/model", "/models"],  # noqa: S108
            "convert_s": 60,
        }
    )


def test_a_model_is_converted_by_the_image_that_serves_it_without_a_network(
    world: World, helper: Machine, spec: Prepare
) -> None:
    world.engine.volumes.labels["stack-models"] |= {
        "ovms-numa.stack": "test",
        "ovms-numa.incarnation": "1",
    }

    result = prepare(spec, world.said.append)

    assert result == {"volume": "stack-models"}
    assert world.said == ["converting", "prepared"]
    assert world.calls == [
        "helper: copy in",
        "helper: start",
        "helper: wait 60 s",
        "helper: remove by force",
    ]
    assert world.engine.created == [
        {
            "image": "stack/devserver:1",
            "command": ["convert", "/tmp/model", "/models"],  # noqa: S108
            "entrypoint": "",
            "volumes": {"stack-models": {"bind": "/models", "mode": "rw"}},
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "stop_signal": "SIGKILL",
            "labels": {"ovms-numa.stack": "test", "ovms-numa.converts": "stack-models"},
        }
    ]
    assert helper.local("/tmp/model/model.bin").read_bytes() == b"weights"  # noqa: S108
    assert helper.local("/tmp/model/config.json").read_text() == "{}"  # noqa: S108


def test_a_conversion_that_fails_is_told_with_its_log(
    world: World, helper: Machine, spec: Prepare, golden: Callable[[str], str]
) -> None:
    helper.exit_code, helper.log = 1, "Traceback\nKeyError: 'llama'\n"

    with pytest.raises(LifecycleError) as refused:
        prepare(spec, world.said.append)

    assert str(refused.value) == golden("conversion_failed")
    assert world.calls[-1] == "helper: remove by force"


def test_a_conversion_that_takes_too_long_is_given_up(
    world: World, helper: Machine, spec: Prepare
) -> None:
    helper.refusals["wait"] = requests.exceptions.ReadTimeout("read timed out")

    with pytest.raises(LifecycleError, match=r"converting the model: no exit within 60 s\."):
        prepare(spec, world.said.append)

    assert world.calls[-1] == "helper: remove by force"


def test_an_engine_that_goes_away_is_not_a_conversion_that_takes_too_long(
    world: World, helper: Machine, spec: Prepare
) -> None:
    helper.refusals["wait"] = requests.exceptions.ConnectionError("Connection aborted.")

    with pytest.raises(requests.exceptions.ConnectionError, match="aborted"):
        prepare(spec, world.said.append)


def test_a_helper_that_an_earlier_try_left_is_removed_first(
    world: World, helper: Machine, spec: Prepare
) -> None:
    """It holds the volume, and nobody else knows of it."""
    world.engine.volumes.labels["stack-models"]["ovms-numa.stack"] = "test"
    labels = {"ovms-numa.stack": "test", "ovms-numa.converts": "stack-models"}
    for name, changes in {"left": {}, "other": {"ovms-numa.stack": "other"}}.items():
        world.engine.machines[name] = Machine(
            name=name, calls=world.calls, status="exited", mounts={}, labels=labels | changes
        )

    prepare(spec, world.said.append)

    assert world.calls[:2] == ["left: remove by force", f"{helper.name}: copy in"]
    assert "other: remove by force" not in world.calls


def test_a_model_that_is_not_staged_is_told_before_anything_is_made(
    world: World, helper: Machine, spec: Prepare, tmp_path: Path
) -> None:
    nowhere = spec.model_copy(update={"source": str(tmp_path / "nowhere")})

    with pytest.raises(LifecycleError) as refused:
        prepare(nowhere, world.said.append)

    assert str(refused.value) == (
        f"stack-models: preparing the model: nothing is staged in {tmp_path}/nowhere.\n"
        "  What to do: run `make up`, which stages it."
    )
    assert (helper.calls, world.engine.created) == ([], [])
