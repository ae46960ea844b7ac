"""What is said of the hosts together: the balancer's files are on one, the instances on all."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.member import cordon_path, member_path, render_member, unwell_path
from lifecycle.observe import Observation
from lifecycle.observe_hosts import Expected, observe_hosts, refuse_without_balancer
from lifecycle.reach import Where

NEAR, FAR = "near-node0-0", "far-node0-0"
OPEN = render_member("10.0.0.2", 8000, 1, is_open=True)
CLOSED = render_member("10.0.0.2", 8000, 1, is_open=False)
DEAD = UnreachableError(
    subject="ssh://me@far", step="connecting", seen="it does not answer", remedy="start it"
)


def near(**files: bytes) -> Observation:
    """The host of the balancer, with its member files by instance."""
    put = {member_path(name.replace("_", "-")): text for name, text in files.items()}
    return Observation(instances=frozenset({NEAR}), files=put)


def far(*instances: str, faults: Mapping[str, str] | None = None) -> Observation:
    return Observation(instances=frozenset(instances), faults=faults or {})


def look(
    monkeypatch: pytest.MonkeyPatch, **hosts: Observation | LifecycleError
) -> dict[str, Observation]:
    """Look at hosts of which each is what is given; return those that were reached."""

    def observe(host: str, *_: object) -> Observation:
        seen = hosts[host]
        if isinstance(seen, LifecycleError):
            raise seen
        return seen

    monkeypatch.setattr("lifecycle.observe_hosts.observe", observe)
    expected = {name: Expected(where=Where(docker=f"ssh://me@{name}")) for name in hosts}
    seen = observe_hosts(expected, {}, balancer_host="near")
    assert list(seen) == list(hosts)
    return {name: one for name, one in seen.items() if isinstance(one, Observation)}


def test_an_instance_is_judged_by_the_files_of_the_balancer_s_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = look(monkeypatch, near=near(near_node0_0=OPEN, far_node0_0=CLOSED), far=far(FAR))

    assert seen["near"].faults == {}
    assert seen["far"].faults == {FAR: "is closed in the balancer, and no one cordoned it"}


def test_an_instance_that_the_watcher_closed_does_not_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that it comes first in an update: else it and the next would be out together."""
    at_balancer = near(near_node0_0=OPEN, far_node0_0=OPEN)
    files = {**(at_balancer.files or {}), unwell_path(FAR): b"refused connections\n"}
    serving = replace(far(FAR), serving=frozenset({FAR}))

    seen = look(
        monkeypatch,
        near=replace(at_balancer, files=files, serving=frozenset({NEAR})),
        far=serving,
    )

    assert seen["far"].faults == {FAR: "was closed by the watcher, as it refused connections"}
    assert (seen["near"].serving, seen["far"].serving) == (frozenset({NEAR}), frozenset())


def test_a_cordon_on_the_balancer_s_host_holds_for_an_instance_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {member_path(FAR): CLOSED, cordon_path(FAR): b""}
    seen = look(monkeypatch, near=Observation(files=files), far=far(FAR))

    assert seen["far"].faults == {}


def test_what_is_wrong_on_the_host_itself_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = far(FAR, faults={FAR: "is exited, not running"})
    seen = look(monkeypatch, near=near(near_node0_0=OPEN, far_node0_0=CLOSED), far=stopped)

    assert seen["far"].faults == {FAR: "is exited, not running"}


def test_an_instance_that_left_only_its_member_file_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = look(monkeypatch, near=near(near_node0_0=OPEN, far_node0_0=OPEN), far=far())

    assert (seen["near"].gone, seen["far"].gone) == ((), (f"{FAR} is gone",))


def test_nothing_is_gone_on_a_host_that_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(monkeypatch, near=near(near_node0_0=OPEN, far_node0_0=OPEN), far=DEAD)

    assert list(seen) == ["near"]
    assert seen["near"].drift() == ()


def test_without_the_balancer_s_host_nothing_is_said_of_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = look(monkeypatch, near=DEAD, far=far(FAR))

    assert seen["far"].drift() == ()


def test_a_balancer_that_left_its_instances_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = look(monkeypatch, near=far(NEAR), far=far(FAR))

    assert (seen["near"].gone, seen["far"].gone) == (("balancer is gone",), ())


def test_a_host_that_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = LifecycleError(subject="far", step="looking", seen="it is rootless", remedy="none")

    with pytest.raises(LifecycleError, match="it is rootless"):
        look(monkeypatch, near=near(), far=refused)


def test_without_the_balancer_s_host_nothing_is_done_on_any() -> None:
    assert refuse_without_balancer(DEAD, 1) is DEAD
    assert str(refuse_without_balancer(DEAD, 2)) == (
        "ssh://me@far: connecting: it does not answer; the balancer runs there, and without it no "
        "instance of any host can be closed or opened, so nothing was touched.\n"
        "  What to do: start it."
    )
