"""Members with a bound, which the real script makes of those without."""

from lifecycle.member import is_intact, member_path, render_member, sealed
from planner.nginx import render_nginx
from planner.settings import BalancerSettings
from tests.lifecycle.test_balancer_config import change, current
from tests.lifecycle.world import World


def bounded(requests: int) -> bytes:
    """An nginx.conf whose members have a bound, as the planner writes it."""
    settings = {"affinity": "session", "affinity-bound": requests}
    balancer = BalancerSettings.model_validate(settings)
    return sealed(render_nginx(balancer, drain_timeout_s=1, max_concurrency=1))


def test_members_have_a_bound_where_the_configuration_includes_them_with_one(world: World) -> None:
    """In files of their own, so that none of an instance has to be written again."""
    change(world, {member_path("a"): render_member("10.0.0.2", 8000, 3, is_open=True)})

    change(world, {"nginx.conf": bounded(12)})
    change(world, {member_path("b"): render_member("10.0.0.3", 8001, 1, is_open=False)})

    files = current(world)
    assert {path: text for path, text in files.items() if path.startswith("at-most-")} == {
        "at-most-12/a.conf": "server 10.0.0.2:8000 weight=3 max_fails=0 max_conns=12;\n",
        "at-most-12/b.conf": "server 10.0.0.3:8001 weight=1 max_fails=0 max_conns=12 down;\n",
    }
    assert is_intact(files[member_path("a")].encode())


def test_another_bound_and_none_leave_no_members_of_the_one_before(world: World) -> None:
    change(world, {member_path("a"): render_member("10.0.0.2", 8000, 1, is_open=True)})
    change(world, {"nginx.conf": bounded(12)})

    change(world, {"nginx.conf": bounded(7)})
    seven = [path for path in current(world) if path.startswith("at-most-")]
    change(world, {"nginx.conf": b"events {}\n"})
    none = [path for path in current(world) if path.startswith("at-most-")]

    assert (seven, none) == (["at-most-7/a.conf"], [])


def test_a_member_that_is_gone_is_gone_from_those_with_a_bound(world: World) -> None:
    change(world, {member_path("a"): render_member("10.0.0.2", 8000, 1, is_open=True)})
    change(world, {"nginx.conf": bounded(12)})

    change(world, {}, member_path("a"))

    assert [path for path in current(world) if "a.conf" in path] == []
