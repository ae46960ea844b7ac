import pytest

from lifecycle.errors import LifecycleError
from lifecycle.push import push
from lifecycle.spec import Push
from tests.lifecycle.world import BALANCER, NAME, World, balancer

DOCKER = "unix:///var/run/docker.sock"


def spec(*lines: str) -> Push:
    return Push.model_validate(
        {
            "version": 1,
            "docker": DOCKER,
            "balancer": balancer(),
            "nginx_conf": lines or ("events {", "}"),
            "start_s": 5,
        }
    )


def test_a_first_push_configures_the_balancer_before_it_starts_it(world: World) -> None:
    world.balancer.status = "created"

    result = push(spec(), world.said.append)

    assert world.calls == [
        "helper: copy in",
        "helper: start",
        "helper: remove by force",
        f"{BALANCER}: start",
    ]
    seal, text = (world.volume / "current/nginx.conf").read_text().split("\n", 1)
    assert seal.startswith("# written by ovms-numa")
    assert text == "events {\n}\n"
    assert world.said == ["configuration loaded", "runs"]
    assert result == {"balancer": BALANCER}


def test_a_push_to_a_balancer_that_runs_is_a_reload(world: World) -> None:
    push(spec(), world.said.append)

    assert world.calls == [f"{BALANCER}: copy in"]
    assert (world.volume / "loaded").read_text() == "gen-2\n"


def test_a_push_leaves_the_members_of_the_instances_alone(world: World) -> None:
    world.put_member(" down", weight=7)
    before = world.member()

    push(spec(), world.said.append)

    assert world.member() == before
    assert NAME in str(list((world.volume / "current/members").iterdir()))


def test_a_configuration_that_nginx_refuses_does_not_start_it(world: World) -> None:
    world.balancer.status = "created"

    with pytest.raises(LifecycleError, match="Nginx keeps the one it has"):
        push(spec("broken"), world.said.append)

    assert f"{BALANCER}: start" not in world.calls
    assert world.said == []
