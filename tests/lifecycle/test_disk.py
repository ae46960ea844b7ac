import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from lifecycle.disk import shortage
from lifecycle.errors import LifecycleError
from lifecycle.observe import observe
from lifecycle.prepare import prepare
from lifecycle.reach import Link, Where
from lifecycle.spec import Prepare
from tests.lifecycle.docker_double import Engine, Machine
from tests.lifecycle.test_spec import PREPARE
from tests.lifecycle.world import World

MIB = 1 << 20
HERE = Link(where=Where(docker="unix:///run/docker.sock"), client=Engine().client)
Leave = Callable[[int], None]


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leave]:
    """Have every disk of this machine have so much left."""

    def left(free: int) -> None:
        space = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda _: space)

    yield left
    monkeypatch.undo()


def test_little_is_told_with_the_folder_and_what_is_left(leave: Leave) -> None:
    leave(50 * MIB)

    assert shortage(HERE, {"DockerRootDir": "/srv/docker"}) == (
        "Docker's disk (/srv/docker) has 50 MiB left"
    )


@pytest.mark.parametrize(("free", "is_told"), [(1024 * MIB - 4096, True), (1024 * MIB, False)])
def test_less_than_a_gibibyte_is_little(leave: Leave, free: int, *, is_told: bool) -> None:
    leave(free)

    assert (shortage(HERE, {"DockerRootDir": "/srv/docker"}) is not None) == is_told


@pytest.mark.parametrize("info", [{}, {"DockerRootDir": "/nowhere/of/this/machine"}])
def test_of_a_disk_that_cannot_be_seen_nothing_is_told(info: dict[str, Any]) -> None:
    assert shortage(HERE, info) is None


def test_a_look_at_a_host_warns_with_what_to_do(
    leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = SimpleNamespace(list=lambda **_: [])
    engine = SimpleNamespace(
        ping=lambda: True,
        info=lambda: {"DockerRootDir": "/srv/docker"},
        containers=nothing,
        networks=nothing,
        volumes=nothing,
    )
    monkeypatch.setattr(docker, "DockerClient", lambda **_: engine)
    leave(7 * MIB)
    labels = {"ovms-numa.project": "ovms-numa", "ovms-numa.stack": "dev"}

    seen = observe("box", Where(docker="unix:///run/docker.sock"), labels, (), ())
    leave(2048 * MIB)
    later = observe("box", Where(docker="unix:///run/docker.sock"), labels, (), ())

    assert seen.warnings == (
        "box: Docker's disk (/srv/docker) has 7 MiB left, and an update may fail for want of it; "
        "`docker system df` says what takes it.",
    )
    assert later.warnings == ()


def test_a_conversion_that_fails_on_a_disk_with_little_left_says_so(
    world: World, leave: Leave, tmp_path: Path
) -> None:
    """The converter itself may call it what it likes."""
    helper = Machine(name="helper", calls=[], mounts={"/tmp": tmp_path / "in"}, status="created")  # noqa: S108
    (tmp_path / "in").mkdir()
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "model.bin").write_bytes(b"weights")
    world.engine.helper, world.engine.root = lambda _: helper, "/srv/docker"
    world.engine.volumes.labels["volume"] = {}
    helper.exit_code, helper.log = 1, "Traceback\nbasic_ios::clear: iostream error\n"
    leave(3 * MIB)
    spec = Prepare.model_validate(
        {**PREPARE, "volume": "volume", "source": str(tmp_path / "staged")}
    )

    with pytest.raises(LifecycleError) as refused:
        prepare(spec, world.said.append)

    assert str(refused.value).splitlines()[:4] == [
        "volume: converting the model: exit status 1; Docker's disk (/srv/docker) has 3 MiB left.",
        "  Its last log lines:",
        "    Traceback",
        "    basic_ios::clear: iostream error",
    ]
    assert "could not be written, make space on that disk" in refused.value.remedy
