"""One stack on this machine and on one that is not looked at."""

import json
import sys
from typing import Any
from unittest import mock

import pytest

from tests.components.conftest import (
    COMMAND,
    CONTAINER,
    IMAGE,
    INSTANCES,
    NETWORK,
    Declared,
    RecordingEngine,
)

FAR: dict[str, Any] = {
    "docker": "ssh://ops@far",
    "topology": "hosts/dual-socket.json",
    "address": "10.0.0.7",
}
PLACEMENT = {"placement__cpu_sharing": "allowed", "placement__cores_per_instance": 1}


@pytest.fixture
def both(declared: Declared, monkeypatch: pytest.MonkeyPatch) -> RecordingEngine:
    import pulumi

    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    return declared(
        others={"far": FAR},
        serving=frozenset(INSTANCES),
        balancer__host="local",
        **PLACEMENT,
    )


def spec(engine: RecordingEngine, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(engine.inputs(COMMAND, name)["stdin"])
    return spec


def test_an_instance_of_another_host_publishes_its_port_on_that_host_s_address(
    both: RecordingEngine,
) -> None:
    assert both.inputs(CONTAINER, "far-node1-0")["ports"] == [
        {"internal": 8001, "external": 8001, "ip": "10.0.0.7"}
    ]
    assert "ports" not in both.inputs(CONTAINER, INSTANCES[0])


def test_its_actions_are_told_both_engines_and_the_address_for_the_balancer(
    both: RecordingEngine,
) -> None:
    told = spec(both, "far-node1-0-activation")

    assert (told["docker"], told["balancer"]["docker"]) == (
        "ssh://ops@far",
        "unix:///var/run/docker.sock",
    )
    assert (told["address"], told["published"]) == ("172.30.80.17", "10.0.0.7")
    assert "docker" not in spec(both, f"{INSTANCES[0]}-activation")["balancer"]


def test_every_host_has_images_and_a_network_of_its_own_made_by_its_own_engine(
    both: RecordingEngine,
) -> None:
    images = [name.rpartition("-")[0] for name in both.names(IMAGE)]
    assert sorted(images) == ["base", "devserver", "far-base", "far-devserver", "nginx"]
    networks = sorted(both.names(NETWORK))
    assert networks == ["balancer-instances", "balancer-published", "far-instances"]
    for token, name in both.requests:
        if token in (CONTAINER, IMAGE, NETWORK):
            on = "far" if name.startswith("far-") else "local"
            assert f"docker-{on}::" in both.request(token, name).provider, name
    waits = both.depends_on(CONTAINER, "far-node0-0")
    assert any(name.startswith("far-devserver-") for name in waits)
    assert any(name.startswith("far-models-") for name in waits)
    assert not any(name.startswith(("devserver-", "models-")) for name in waits)


def test_the_host_that_nobody_looked_at_comes_last_in_one_rolling_order(
    both: RecordingEngine,
) -> None:
    assert f"{INSTANCES[1]}-activation" in both.depends_on(CONTAINER, "far-node0-0")
    assert list(both.request(CONTAINER, "far-node0-0").ignoreChanges) == ["labels[1].value"]
    assert list(both.request(CONTAINER, INSTANCES[0]).ignoreChanges) == []


def test_a_second_host_changes_nothing_on_the_first(
    declared: Declared, both: RecordingEngine
) -> None:
    alone = declared(serving=frozenset(INSTANCES), **PLACEMENT)

    assert set(alone.requests) < set(both.requests)
    for token, name in alone.requests:
        assert alone.inputs(token, name) == both.inputs(token, name)


def test_all_of_a_host_that_is_not_reached_waits_for_every_instance_of_the_others(
    both: RecordingEngine,
) -> None:
    """The engine begins nothing more after a failure, which there is none but on that host."""
    active = {f"{name}-activation" for name in INSTANCES}
    for token, name in both.requests:
        own = both.request(token, name).parent.endswith("::test") or token.startswith("ovms-numa:")
        if name.startswith("far-") and own and "node" not in name:
            assert active <= both.depends_on(token, name), name
    assert not any(
        active & both.depends_on(IMAGE, name) for name in both.names(IMAGE) if "far" not in name
    )


def test_an_update_warns_of_a_host_that_is_not_reached_and_goes_on(
    declared: Declared, caplog: pytest.LogCaptureFixture
) -> None:
    engine = declared(
        others={"far": FAR}, serving=frozenset(INSTANCES), balancer__host="local", **PLACEMENT
    )

    assert "far-node0-0" in engine.names(CONTAINER)
    assert "what the stack has on far stays as it is" in caplog.text


def test_an_update_without_the_balancer_s_host_declares_nothing(
    declared: Declared, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {"address": "10.0.0.8"}
    # A SystemExit would end the loop of the recording engine, and not the program alone.
    monkeypatch.setattr(sys, "exit", mock.Mock(side_effect=RuntimeError))
    with pytest.raises(RuntimeError):
        declared(others={"far": FAR, "local": local}, balancer__host="far", **PLACEMENT)

    assert "the balancer runs there, and without it no instance of any host" in caplog.text
    assert RecordingEngine.latest.requests == {}


def test_a_preview_that_does_not_reach_the_balancer_s_host_shows_everything(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the others' instances wait for waits for none of them."""
    import pulumi

    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    local = {"address": "10.0.0.8"}

    engine = declared(others={"far": FAR, "local": local}, balancer__host="far", **PLACEMENT)

    assert {"balancer", "far-node0-0", *INSTANCES} <= set(engine.names(CONTAINER))
