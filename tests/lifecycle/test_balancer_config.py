"""Generations of the balancer's configuration, made by the real script on a real folder."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle import balancer_config
from lifecycle.errors import LifecycleError
from lifecycle.spec import BalancerRef
from tests.lifecycle.local_server import Answer, LocalServer, serve
from tests.lifecycle.world import BALANCER, VOLUME, World, balancer

REF = BalancerRef.model_validate(balancer())


def change(world: World, put: dict[str, bytes], *remove: str) -> None:
    balancer_config.change(world.link, REF, put, remove=remove)


def current(world: World) -> dict[str, str]:
    folder = world.volume / "current"
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def generation(number: int) -> str:
    return f'map "" $generation {{ default {number}; }}\nmap "" $workers_died {{ default 0; }}\n'


def generations(world: World) -> list[str]:
    return sorted(path.name for path in world.volume.glob("*") if path.name != "loaded")


def test_a_change_is_the_current_generation_with_the_change_laid_over_it(world: World) -> None:
    change(world, {"members/a.conf": b"a\n"})
    change(world, {"members/b.conf": b"b\n"})

    assert current(world) == {
        "generation.conf": generation(3),
        "members/a.conf": "a\n",
        "members/b.conf": "b\n",
        "nginx.conf": "events {}\n",
        "serving/a.conf": "a\n",
        "serving/b.conf": "b\n",
    }


def test_a_change_is_loaded_when_it_returns_and_leaves_one_generation(world: World) -> None:
    change(world, {"members/a.conf": b"a\n"})

    assert (world.volume / "loaded").read_text() == "gen-2\n"
    assert generations(world) == ["current", "gen-2", "lock"]
    assert (world.volume / "current").readlink() == Path("gen-2")


def test_what_is_removed_is_gone_and_what_was_not_there_is_no_fault(world: World) -> None:
    change(world, {"members/a.conf": b"a\n", "members/b.conf": b"b\n"})

    change(world, {}, "members/a.conf", "members/never-there.conf")

    assert "members/a.conf" not in current(world)
    assert "members/b.conf" in current(world)


def test_a_configuration_that_nginx_refuses_changes_nothing(
    world: World, golden: Callable[[str], str]
) -> None:
    change(world, {"members/a.conf": b"a\n"})
    before = current(world)

    with pytest.raises(LifecycleError) as refused:
        change(world, {"members/a.conf": b"broken\n"})

    assert str(refused.value) == golden("nginx_refuses")
    assert current(world) == before
    assert generations(world) == ["current", "gen-2", "lock"]
    assert (world.volume / "loaded").read_text() == "gen-2\n"


def test_a_writer_that_was_killed_leaves_nothing_behind_for_the_next(world: World) -> None:
    """Killed after it copied its files in, and halfway through making a generation."""
    (world.volume / "incoming-1234/members").mkdir(parents=True)
    (world.volume / "gen-2/members").mkdir(parents=True)
    (world.volume / "gen-2/members/half.conf").write_text("half\n")
    (world.volume / "current.new").symlink_to("gen-2")
    os.utime(world.volume / "incoming-1234", (0, 0))

    change(world, {"members/a.conf": b"a\n"})

    assert generations(world) == ["current", "gen-2", "lock"]
    assert sorted(current(world)) == [
        "generation.conf", "members/a.conf", "nginx.conf", "serving/a.conf",
    ]  # fmt: skip


def test_writers_at_the_same_time_follow_each_other_and_lose_nothing(world: World) -> None:
    """Several instances may be activated at once, and stacks of several people's."""
    names = [f"members/{n}.conf" for n in range(3)]
    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            change(world, {name: b"x\n"})
        except LifecycleError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    with (world.volume / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(list(world.volume.glob("incoming-*/members/*.conf"))) < len(names):
            assert time.monotonic() < deadline, "not all of them came as far as the lock"
            time.sleep(0.01)
    for thread in threads:
        thread.join()

    assert failed == []
    assert set(names) <= set(current(world))


def test_what_is_copied_in_belongs_to_the_user_that_nginx_runs_as(world: World) -> None:
    change(world, {"members/a.conf": b"a\n"})

    copied = world.balancer.copied
    folder = next(path for path in copied if path.count("/") == 3)
    assert folder.startswith(f"{balancer_config.DIRECTORY}/incoming-")
    assert copied == {
        folder: (101, 102, 0o755),
        f"{folder}/members": (101, 102, 0o755),
        f"{folder}/members/a.conf": (101, 102, 0o644),
    }


def test_a_balancer_at_rest_gets_its_configuration_through_a_helper(world: World) -> None:
    world.balancer.status = "created"
    world.balancer.labels = {"ovms-numa.stack": "test", "ovms-numa.role": "balancer"}

    change(world, {"nginx.conf": b"events { }\n"})

    assert current(world)["nginx.conf"] == "events { }\n"
    assert world.calls == ["helper: copy in", "helper: start", "helper: remove by force"]
    assert world.engine.created == [
        {
            "image": "sha256:1234",
            "command": ["sleep", "120"],
            "entrypoint": "",
            "user": "101:102",
            "volumes": {VOLUME: {"bind": balancer_config.DIRECTORY, "mode": "rw"}},
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "labels": {"ovms-numa.stack": "test"},
            "auto_remove": True,
        }
    ]


def test_the_first_generation_of_an_empty_volume_is_one(world: World) -> None:
    world.balancer.status = "created"
    (world.volume / "current").unlink()

    change(world, {"nginx.conf": b"events { }\n"})

    assert (world.volume / "current").readlink() == Path("gen-1")
    assert sorted(current(world)) == ["generation.conf", "nginx.conf"]


def test_the_helper_is_removed_when_nginx_refuses(world: World) -> None:
    world.balancer.status = "exited"

    with pytest.raises(LifecycleError, match="Nginx keeps the one it has"):
        change(world, {"nginx.conf": b"broken\n"})

    assert world.calls[-1] == "helper: remove by force"


def test_a_change_that_is_never_loaded_is_told_with_both_generations(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balancer_config, "RELOAD_WAIT_S", 0.1)
    with serve(LocalServer(answers={"GET /healthz": [(200, '{"generation":1}')]})) as old:
        monkeypatch.setattr(balancer_config, "LISTEN_PORT", old.port)

        with pytest.raises(LifecycleError) as refused:
            change(world, {"members/a.conf": b"a\n"})

    assert str(refused.value) == (
        f"{BALANCER}: reloading Nginx: generation 2 was not loaded within 0.1 s; generation 1 "
        f"answers at 127.0.0.1:{old.port}.\n"
        f"  What to do: look at `docker logs {BALANCER}`, then run `pulumi up` again."
    )


def test_a_later_generation_than_the_one_waited_for_is_as_good(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another writer's change holds this one's."""
    with serve(LocalServer(answers={"GET /healthz": [(200, '{"generation":99}')]})) as later:
        monkeypatch.setattr(balancer_config, "LISTEN_PORT", later.port)

        change(world, {"members/a.conf": b"a\n"})

    assert "members/a.conf" in current(world)


@pytest.mark.parametrize(
    ("answer", "generation"),
    [
        ((200, '{"generation":12}'), 12),
        ((200, "<html>"), None),
        ((404, '{"error":"not served here"}'), None),
        ((200, '{"generation":"x"}'), None),
    ],
    ids=["nginx", "no JSON", "no generation", "no number"],
)
def test_the_loaded_generation_is_what_a_worker_answers(
    world: World, answer: Answer, generation: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(LocalServer(answers={"GET /healthz": [answer]})) as nginx:
        monkeypatch.setattr(balancer_config, "LISTEN_PORT", nginx.port)

        assert balancer_config.loaded_generation(world.link, REF) == generation


def test_where_nobody_listens_no_generation_is_loaded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(LocalServer(answers={})) as gone:
        pass
    monkeypatch.setattr(balancer_config, "LISTEN_PORT", gone.port)

    assert balancer_config.loaded_generation(world.link, REF) is None


@pytest.mark.parametrize("status", ["running", "exited"])
def test_the_files_of_the_current_generation_are_read_whether_the_balancer_runs_or_not(
    world: World, status: str
) -> None:
    change(world, {"members/a.conf": b"a\n"})
    (world.volume / "gen-9").mkdir()
    (world.volume / "gen-9/nginx.conf").write_text("half-made\n")
    world.balancer.status = status

    files = balancer_config.read_all(world.engine.container(BALANCER))

    assert files == {
        "generation.conf": generation(2).encode(),
        "members/a.conf": b"a\n",
        "nginx.conf": b"events {}\n",
        "serving/a.conf": b"a\n",
    }


def test_a_volume_without_a_generation_has_no_files(world: World) -> None:
    (world.volume / "current").unlink()

    assert balancer_config.read_all(world.engine.container(BALANCER)) == {}


def test_a_balancer_without_its_folder_has_no_files(world: World) -> None:
    world.volume.rename(world.volume.with_name("elsewhere"))

    assert balancer_config.read_all(world.engine.container(BALANCER)) == {}
