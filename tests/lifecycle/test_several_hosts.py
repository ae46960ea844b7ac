"""The operator's commands on a stack of which one host is not reached."""

from pathlib import Path

import pytest
import yaml

from lifecycle import cordon, logs
from lifecycle.drain import drain
from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.found import find_stack, reached_at
from lifecycle.member import cordon_path, member_path
from lifecycle.observe import Observation
from lifecycle.reach import Link, Where, reach
from lifecycle.stack_file import StackFile, read_stack_file
from lifecycle.status import look
from tests.lifecycle.docker_double import Machine, as_container
from tests.lifecycle.stack_double import FIRST, SECOND, Stack, stand_up_stack, write_stack_file
from tests.lifecycle.world import MODEL, World

FAR = "far-node0-0"
FAR_URL = "unix:///run/far.sock"


def unreached(where: Where) -> UnreachableError:
    return UnreachableError(
        subject=where.docker, step="connecting to Docker", seen="it is silent", remedy="wait"
    )


@pytest.fixture(autouse=True)
def stack(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Two instances beside the balancer, and one on a host that is not reached."""
    standing = stand_up_stack(world, tmp_path, monkeypatch)
    standing.put_members(FIRST, SECOND, FAR, of=(FIRST, SECOND, FAR))
    world.server.answers[f"GET /v2/models/{MODEL}/ready"] = [(200, "")]

    def reach_but_far(where: Where, **bound: int) -> Link:
        if where.docker == FAR_URL:
            raise unreached(where)
        return reach(where, **bound)

    monkeypatch.setattr("lifecycle.found.reach", reach_but_far)
    monkeypatch.setattr("lifecycle.observe_hosts.observe", lambda *_: Observation())
    return standing


@pytest.fixture
def file(tmp_path: Path) -> StackFile:
    path = write_stack_file(tmp_path)
    text = yaml.safe_load(path.read_text())
    settings = text["config"]["ovms-numa:settings"]
    settings["hosts"]["far"] = {"docker": FAR_URL, "address": "10.0.0.2"}
    settings["balancer"] = {"host": "box"}
    path.write_text(yaml.safe_dump(text))
    return read_stack_file(path)


def test_status_shows_the_others_and_fails(file: StackFile) -> None:
    status = look(file)

    shown = status.render()
    assert "\nnot looked at: far: unix:///run/far.sock: connecting to Docker: it is sil" in shown
    assert shown.endswith("\n2 of 2 instances serve at http://127.0.0.1:8000")
    assert not status.is_well


def test_a_cordon_there_is_shown_as_any_other(
    file: StackFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Observation(cordoned=frozenset({FAR}))
    monkeypatch.setattr("lifecycle.observe_hosts.observe", lambda *_: seen)

    assert f"\ncordoned: {FAR}\n" in look(file).render()


def test_a_host_that_falls_silent_meanwhile_is_not_looked_at(
    file: StackFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(_: str, where: Where, *_more: object) -> Observation:
        raise unreached(where)

    monkeypatch.setattr("lifecycle.observe_hosts.observe", observe)

    assert list(look(file).unreached) == ["far", "box"]


def test_logs_come_from_the_others(stack: Stack, file: StackFile) -> None:
    stack.machines[FIRST].log = "ready\n"
    said = logs.last_logs(file, "", 1)

    assert said.startswith(f"{FIRST} | ready\nnot looked at: far: unix:///run/far.sock: ")


def test_logs_of_an_instance_there_say_why_there_are_none(file: StackFile) -> None:
    with pytest.raises(UnreachableError, match="it is silent"):
        logs.last_logs(file, FAR, 1)


def test_an_instance_there_is_cordoned_in_the_balancer(stack: Stack, file: StackFile) -> None:
    said = cordon.cordon(file, FAR, force=False)

    assert said == (
        f"{FAR} is cordoned; 2 of 2 instances are open (without far); what it has in flight is not "
        "known, as its host is not reached"
    )
    assert stack.is_cordoned(FAR)
    assert b" down;" in (stack.read(member_path(FAR)) or b"")


def test_it_stays_closed_when_its_cordon_is_taken_off(stack: Stack, file: StackFile) -> None:
    cordon.cordon(file, FAR, force=False)

    with pytest.raises(LifecycleError, match="but it is on a host that is not reached"):
        cordon.uncordon(file, FAR)

    assert stack.read(cordon_path(FAR)) is None
    assert b" down;" in (stack.read(member_path(FAR)) or b"")


def test_without_the_balancer_s_host_nothing_is_cordoned(
    file: StackFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reach_but_the_balancer_s(where: Where, **bound: int) -> Link:
        if where.docker != FAR_URL:
            raise unreached(where)
        return reach(file.hosts["box"], **bound)

    monkeypatch.setattr("lifecycle.found.reach", reach_but_the_balancer_s)

    with pytest.raises(UnreachableError, match="it is silent"):
        cordon.cordon(file, FAR, force=False)


def test_a_balancer_that_is_gone_is_not_put_down_to_another_host(
    file: StackFile, stack: Stack
) -> None:
    del stack.world.engine.machines[stack.machines["balancer"].name]

    with pytest.raises(LifecycleError, match="looking for its balancer: it is gone"):
        cordon.cordon(file, FIRST, force=False)


def test_where_no_host_is_reached_the_first_says_why(
    file: StackFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(where: Where, **_: int) -> Link:
        raise unreached(where)

    monkeypatch.setattr("lifecycle.found.reach", none)

    with pytest.raises(UnreachableError, match="it is silent"):
        find_stack(file)


def test_a_published_instance_is_reached_at_the_address_of_its_host() -> None:
    class Published(Machine):
        def attrs(self) -> dict[str, object]:
            ports = {"8003/tcp": [{"HostIp": "10.0.0.2", "HostPort": "8003"}]}
            return {
                **super().attrs(),
                "HostConfig": {"PortBindings": ports},
                "Config": {"Labels": self.labels, "Cmd": ["--rest_port", "8003"]},
            }

    machine = Published(name="far", calls=[], mounts={}, labels={"ovms-numa.role": FAR})

    assert reached_at(as_container(machine)) == "10.0.0.2"


def test_an_instance_of_a_host_that_is_not_reached_stays_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well serve: what is not reached from here may be reached by the balancer."""
    world.serve_as_planned()
    before = world.member()

    def none(where: Where, **_: int) -> Link:
        raise unreached(where)

    monkeypatch.setattr("lifecycle.drain.reach", none)
    spec = world.spec(instance=FAR)

    with pytest.raises(UnreachableError) as refused:
        drain(spec, world.said.append)

    assert world.member() == before
    assert "its host is not reached: unix:///var/run/docker.sock: it is silent" in str(
        refused.value
    )
    assert "`make forget HOST=far STACK=NAME`" in str(refused.value)
