"""A dead host is taken out of balancer and state; a living one and the balancer's are not."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lifecycle import balancer_config
from lifecycle.errors import CutOffError, UnreachableError
from lifecycle.forget import main
from lifecycle.reach import Where
from tests.lifecycle.recover_place import STACK, Place, dead_process, resource, stand_up_place
from tests.lifecycle.world import activation, balancer

Captured = pytest.CaptureFixture[str]

FAR = "ssh://me@far"
DOCKER, COMMAND = "pulumi:providers:docker", "command:local:Command"
CONTAINER, NETWORK = "docker:index/container:Container", "docker:index/network:Network"
SERVER, FLEET = "ovms-numa:index:ModelServer", "ovms-numa:index:Fleet"


def urn(kind: str, name: str) -> str:
    return str(resource(kind, name)["urn"])


def made_by(host: str) -> str:
    return f"{urn(DOCKER, f'docker-{host}')}::0a1b"


def instance(host: str, *waits_for: str) -> list[dict[str, object]]:
    """The resources of an instance that waits for others."""
    name = f"{host}-node0-0"
    spec = activation(instance=name, balancer={**balancer(), "docker": "unix:///near.sock"})
    parent = urn(SERVER, name)
    container = resource(
        CONTAINER, name, parent=parent, provider=made_by(host), dependencies=[*waits_for],
        propertyDependencies={"name": [], "image": [*waits_for]},
    )  # fmt: skip
    return [
        resource(SERVER, name, parent=urn(FLEET, "fleet")),
        container,
        resource(
            COMMAND, f"{name}-activation", parent=parent, inputs={"stdin": json.dumps(spec)},
            dependencies=[container["urn"]],
        ),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The state of a stack on two hosts, of which `near` waits for `far` and has the balancer."""
    place = stand_up_place(tmp_path, monkeypatch)
    options = json.dumps(["-o", 'UserKnownHostsFile="hosts/keys"'])
    place.has(
        resource(DOCKER, "docker-near", inputs={"host": "unix:///near.sock"}),
        resource(DOCKER, "docker-far", inputs={"host": FAR, "sshOpts": options}),
        resource(FLEET, "fleet"),
        resource(CONTAINER, "balancer", provider=made_by("near")),
        resource(NETWORK, "far-instances", provider=made_by("far")),
        *instance("far", urn(NETWORK, "far-instances")),
        *instance("near", urn(COMMAND, "far-node0-0-activation")),
    )
    return place


class Hosts:
    """Reaches all hosts but the dead, and writes down what the balancer is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dead = {FAR}
        self.waits = 0
        self.comes_back = False
        self.kind: type[UnreachableError] = UnreachableError
        self.asked: list[Where] = []
        self.removed: list[str] = []
        self.balancer: object = "there"
        self.meanwhile: Callable[[], None] = lambda: None
        monkeypatch.setattr("lifecycle.forget.reach", self.reach)
        monkeypatch.setattr("lifecycle.forget.time", SimpleNamespace(sleep=self.wait))
        monkeypatch.setattr("lifecycle.forget.docker_host.find", lambda *_: self.balancer)
        monkeypatch.setattr(balancer_config, "change", self.change)

    def reach(self, where: Where, **_: int) -> object:
        self.asked.append(where)
        if where.docker in self.dead:
            raise self.kind(
                subject=where.docker, step="connecting", seen="it is silent", remedy="wait"
            )
        return SimpleNamespace(client=None)

    def wait(self, _seconds: float) -> None:
        self.waits += 1
        if self.comes_back:
            self.dead.clear()

    def change(self, _link: object, _ref: object, put: dict[str, bytes], **more: Any) -> None:
        assert put == {}
        self.meanwhile()
        self.removed += more["remove"]


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    return Hosts(monkeypatch)


def forget(host: str, capsys: Captured) -> tuple[int, list[str], str]:
    status = main(["--stack", STACK, "--host", host])
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err


def names(place: Place) -> list[str]:
    resources = place.state()["deployment"]["resources"]
    return [one["urn"].rpartition("::")[2] for one in resources]


def test_all_of_a_dead_host_goes_and_nothing_depends_on_it_any_more(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    done = forget("far", capsys)

    assert done == (
        0,
        [
            "test: took far-node0-0 out of the balancer",
            "test: took 5 resources of far out of the state",
        ],
        "",
    )
    assert names(place) == [
        "docker", "state-id", "docker-near", "fleet", "balancer",
        "near-node0-0", "near-node0-0", "near-node0-0-activation",
    ]  # fmt: skip
    assert "far" not in json.dumps(place.state())
    assert hosts.asked[0] == Where(docker=FAR, known_hosts="hosts/keys")
    assert hosts.removed == ["members/far-node0-0.conf", "cordoned/far-node0-0"]


def test_a_host_that_answers_is_left_to_an_update(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    before = place.state()
    hosts.dead.clear()

    status, _, error = forget("far", capsys)

    assert (status, hosts.removed, place.state()) == (1, [], before)
    assert f"its Docker engine answers at {FAR}" in error


def test_a_host_that_answers_when_asked_again_is_not_forgotten(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    before = place.state()
    hosts.comes_back = True

    status, _, error = forget("far", capsys)

    assert (status, hosts.waits, hosts.removed, place.state()) == (1, 1, [], before)
    assert f"its Docker engine answers at {FAR}" in error


def test_a_fault_of_this_machine_forgets_no_host(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    before = place.state()
    hosts.kind = CutOffError

    status, _, error = forget("far", capsys)

    assert (status, hosts.removed, place.state()) == (1, [], before)
    assert "it may well live, as the fault is on this machine: it is silent" in error


def test_the_balancer_s_host_is_not_forgotten(place: Place, capsys: Captured) -> None:
    before = place.state()

    status, _, error = forget("near", capsys)

    assert (status, place.state()) == (1, before)
    assert "forgetting the host 'near': the balancer runs there" in error
    assert "`pulumi stack rm test --force --preserve-config --yes`" in error


def test_a_host_that_the_state_does_not_have_is_told_with_those_that_it_has(
    capsys: Captured,
) -> None:
    status, _, error = forget("there", capsys)

    assert status == 1
    assert "the state has no such host; it has docker, far, near" in error


def test_a_host_that_nobody_named_is_asked_for(capsys: Captured) -> None:
    status, _, error = forget("", capsys)

    assert (status, "say HOST=NAME" in error) == (1, True)


def test_without_a_balancer_the_state_alone_forgets(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    hosts.balancer = None

    status, said, _ = forget("far", capsys)

    assert (status, hosts.removed) == (0, [])
    assert said[0] == "test: there is no balancer to take its instances out of"
    assert "far-node0-0" not in names(place)


def test_what_a_run_does_meanwhile_is_not_overwritten(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    def run() -> None:
        place.has(resource(NETWORK, "made-meanwhile"))

    hosts.meanwhile = run

    status, _, error = forget("far", capsys)

    assert (status, names(place)) == (1, ["docker", "state-id", "made-meanwhile"])
    assert "a run changed the state meanwhile, and what it did would be lost" in error
    assert "wait for its end, then run this again" in error


def test_where_the_balancer_s_host_is_dead_too_nothing_is_forgotten(
    place: Place, hosts: Hosts, capsys: Captured
) -> None:
    before = place.state()
    hosts.dead.add("unix:///near.sock")

    status, _, error = forget("far", capsys)

    assert (status, place.state()) == (1, before)
    assert "unix:///near.sock: connecting: it is silent" in error


@pytest.mark.parametrize("killed", ["lock", "operation"])
def test_after_a_run_that_was_killed_recovering_comes_first(
    place: Place, hosts: Hosts, capsys: Captured, killed: str
) -> None:
    if killed == "lock":
        place.lock(dead_process())
    else:
        place.has(pending=("far-node0-0",))

    status, _, error = forget("far", capsys)

    assert (status, hosts.removed) == (1, [])
    assert "run `make recover STACK=test`" in error


def test_a_host_that_is_still_in_the_settings_is_pointed_out(capsys: Captured) -> None:
    settings: dict[str, Any] = {
        "config": {"ovms-numa:settings": {"hosts": {"near": {}, "far": {}}}}
    }
    Path("Pulumi.test.yaml").write_text(json.dumps(settings))

    _, said, _ = forget("far", capsys)

    assert said[-1] == (
        "test: far is still in the stack's settings: take it out, or `make up` makes it again"
    )
