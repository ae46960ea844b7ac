"""The whole program under the recording engine, for the stack file of this machine."""

import json
import re
import sys
from pathlib import Path
from unittest import mock

import pulumi
import pytest

from images.recipes import recipe_hash
from lifecycle import spec as specs
from planner.labels import stack_labels
from tests.components.conftest import (
    COMMAND,
    CONTAINER,
    IMAGE,
    INSTANCES,
    NETWORK,
    VOLUME,
    Declared,
    RecordingEngine,
)

ROOT = Path(__file__).parents[2]
MODELS = f"models-{recipe_hash('model')}"


def test_each_instance_runs_only_on_the_cpus_it_was_placed_on(declared: Declared) -> None:
    engine = declared()

    assert [engine.inputs(CONTAINER, name)["cpuSet"] for name in INSTANCES] == ["0", "1"]


def test_an_instance_may_take_the_memory_that_it_was_planned_with_and_swap_none(
    declared: Declared,
) -> None:
    engine = declared()

    for name in INSTANCES:
        its = engine.inputs(CONTAINER, name)
        assert (its["memory"], its["memorySwap"]) == (1792, 1792)
    assert "memory" not in engine.inputs(CONTAINER, "balancer")


def test_an_instance_whose_memory_is_not_known_has_no_limit(declared: Declared) -> None:
    engine = declared(models__directory="/srv/models")

    assert not {"memory", "memorySwap"} & set(engine.inputs(CONTAINER, INSTANCES[0]))


def test_the_balancer_runs_on_the_reserved_cpus(declared: Declared) -> None:
    engine = declared(placement__reserved_cores=1)

    assert engine.inputs(CONTAINER, "balancer")["cpuSet"] == "0"
    assert "cpuSet" not in declared().inputs(CONTAINER, "balancer")


def test_no_container_takes_a_property_of_another_container(declared: Declared) -> None:
    """Such a property makes the engine delete all instances together."""
    engine = declared(serving=frozenset(INSTANCES))

    for name in engine.names(CONTAINER):
        properties = engine.request(CONTAINER, name).propertyDependencies
        urns = [urn for its in properties.values() for urn in its.urns]
        assert not [urn for urn in urns if CONTAINER in urn or urn.endswith("-activation")]


def test_an_instance_waits_for_the_activation_of_the_one_before_it(declared: Declared) -> None:
    engine = declared(serving=frozenset(INSTANCES))

    assert "local-node0-0-activation" in engine.depends_on(CONTAINER, "local-node0-1")
    assert not any("activation" in name for name in engine.depends_on(CONTAINER, "local-node0-0"))


def test_an_instance_that_does_not_serve_is_replaced_first(declared: Declared) -> None:
    engine = declared(serving=frozenset({"local-node0-0"}))

    assert "local-node0-1-activation" in engine.depends_on(CONTAINER, "local-node0-0")


def test_a_first_start_loads_all_instances_at_once(declared: Declared) -> None:
    engine = declared()

    for name in INSTANCES:
        assert not any("activation" in other for other in engine.depends_on(CONTAINER, name))


def test_every_container_is_deleted_before_it_is_made_again(declared: Declared) -> None:
    """Names, addresses and CPUs are fixed: two of one instance cannot be."""
    engine = declared()

    for name in engine.names(CONTAINER):
        request = engine.request(CONTAINER, name)
        assert request.deleteBeforeReplace
        assert {"cpuSet", "memory", "memorySwap"} <= set(request.replaceOnChanges)


def test_a_container_can_do_no_more_than_it_needs(declared: Declared) -> None:
    engine = declared()

    for name in engine.names(CONTAINER):
        inputs = engine.inputs(CONTAINER, name)
        assert inputs["readOnly"] is True
        assert inputs["capabilities"] == {"drops": ["ALL"]}
        assert inputs["securityOpts"] == ["no-new-privileges:true"]
        assert not inputs["user"].startswith("0:")
        assert inputs["logOpts"]["max-size"]
        assert inputs["restart"] == "unless-stopped"


def test_only_the_balancer_publishes_a_port(declared: Declared) -> None:
    engine = declared()

    publishing = [
        name for name in engine.names(CONTAINER) if "ports" in engine.inputs(CONTAINER, name)
    ]
    assert publishing == ["balancer"]
    assert engine.inputs(NETWORK, "balancer-instances")["internal"] is True


def test_containers_are_started_by_their_activation_only(declared: Declared) -> None:
    engine = declared()

    for name in engine.names(CONTAINER):
        inputs = engine.inputs(CONTAINER, name)
        assert (inputs["start"], inputs["mustRun"]) == (False, False)


def test_a_drain_runs_before_the_balancer_is_deleted(declared: Declared) -> None:
    engine = declared()

    for name in INSTANCES:
        assert "balancer-pushed" in engine.depends_on(CONTAINER, name)


def test_the_actions_can_read_the_specs_that_are_declared(declared: Declared) -> None:
    engine = declared()

    for name in INSTANCES:
        specs.Activation.model_validate_json(engine.inputs(COMMAND, f"{name}-activation")["stdin"])
    specs.Push.model_validate_json(engine.inputs(COMMAND, "balancer-pushed")["stdin"])
    prepared = [name for name in engine.names(COMMAND) if name.endswith("-prepared")]
    specs.Prepare.model_validate_json(engine.inputs(COMMAND, prepared[0])["stdin"])


def test_nothing_declared_names_a_path_of_this_machine(declared: Declared) -> None:
    """Else the same stack from another checkout would differ."""
    engine = declared()

    for token, name in engine.requests:
        text = json.dumps(engine.inputs(token, name))
        assert str(ROOT) not in text
        assert str(Path.home()) not in text


def test_an_image_and_its_resource_carry_the_hash_of_its_content(declared: Declared) -> None:
    engine = declared()

    for name in engine.names(IMAGE):
        tag = engine.inputs(IMAGE, name)["name"].rpartition(":")[2]
        assert re.fullmatch(r"[0-9a-f]{12}", tag)
        assert name.endswith(f"-{tag}")


def test_changing_the_balancer_s_time_out_changes_only_the_pushed_configuration(
    declared: Declared,
) -> None:
    before = declared()
    after = declared(balancer__read_timeout_s=77)

    changed = [
        name
        for token, name in before.requests
        if before.inputs(token, name) != after.inputs(token, name)
    ]
    assert changed == ["balancer-pushed"]


def test_a_changed_flag_changes_only_the_containers_of_the_instances(declared: Declared) -> None:
    before = declared()
    after = declared(server__log_level="DEBUG")

    changed = [
        name
        for token, name in before.requests
        if before.inputs(token, name) != after.inputs(token, name)
    ]
    assert changed == list(INSTANCES)


def test_a_third_instance_leaves_the_names_and_inputs_of_two_alone(declared: Declared) -> None:
    changes = {"placement__cores_per_instance": 1, "placement__cpu_sharing": "allowed"}
    two = declared(**changes)
    three = declared(**changes, placement__instances_per_node=3)

    assert set(three.requests) > set(two.requests)
    for token, name in two.requests:
        assert two.inputs(token, name) == three.inputs(token, name)


def test_volumes_and_containers_carry_project_and_stack(declared: Declared) -> None:
    engine = declared()

    for token in (CONTAINER, VOLUME, NETWORK):
        for name in engine.names(token):
            assert engine.inputs(token, name)["name"].startswith("ovms-numa-test-")


def test_a_directory_of_the_host_is_mounted_read_only_and_nothing_is_prepared(
    declared: Declared,
) -> None:
    engine = declared(models__directory="/srv/models", models__names=["qwen3"])

    assert engine.inputs(CONTAINER, "local-node0-0")["volumes"] == [
        {"containerPath": "/workspace", "hostPath": "/srv/models", "readOnly": True}
    ]
    assert not [name for name in engine.names(COMMAND) if "prepared" in name]


def test_official_images_are_pulled_and_nothing_is_built(declared: Declared) -> None:
    engine = declared(
        server__image="openvino/model_server:2026.3",
        balancer__image="nginx:1.30",
        models__directory="/srv/models",
        models__names=["qwen3"],
    )

    assert {engine.inputs(IMAGE, name)["name"] for name in engine.names(IMAGE)} == {
        "openvino/model_server:2026.3",
        "nginx:1.30",
    }
    assert engine.inputs(CONTAINER, "local-node0-0")["image"] == "openvino/model_server:2026.3"


def test_labels_tell_a_stack_from_another_on_the_same_host() -> None:
    assert stack_labels("ovms-numa", "dev") != stack_labels("ovms-numa", "test")


def test_a_healthy_instance_keeps_what_its_activation_was_last_run_for(declared: Declared) -> None:
    engine = declared()

    request = engine.request(COMMAND, "local-node0-0-activation")
    assert "environment" not in engine.inputs(COMMAND, "local-node0-0-activation")
    assert list(request.ignoreChanges) == ["environment"]


def test_a_drifted_instance_is_activated_again_with_the_reason(declared: Declared) -> None:
    engine = declared(faults={"local-node0-0": "is exited, not running"})

    inputs = engine.inputs(COMMAND, "local-node0-0-activation")
    other = engine.inputs(COMMAND, "local-node0-1-activation")
    assert inputs["environment"]["DRIFT"].startswith("is exited, not running (seen 20")
    assert "environment" not in other


def test_what_is_there_keeps_its_incarnation_and_what_is_gone_gets_a_new_one(
    declared: Declared,
) -> None:
    there, gone = declared(), declared(gone=True)

    for token, name in ((CONTAINER, "local-node0-0"), (VOLUME, "balancer-configuration")):
        labels = [
            {one["label"]: one["value"] for one in engine.inputs(token, name)["labels"]}
            for engine in (there, gone)
        ]
        assert labels[0]["ovms-numa.incarnation"] == "0a1b2c3d"
        assert labels[1]["ovms-numa.incarnation"] != "0a1b2c3d"


def test_wrong_settings_are_all_told_once_and_nothing_is_registered(
    declared: Declared, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "error", told.append)
    # A SystemExit would end the loop of the recording engine, and not the program alone.
    monkeypatch.setattr(sys, "exit", mock.Mock(side_effect=RuntimeError))

    with pytest.raises(RuntimeError):
        declared(balancer__port=70000, server__log_level="LOUD")

    (message,) = told
    assert "balancer.port: 70000 is above 65535" in message
    assert "server.log-level: 'LOUD'" in message
    # With any other status the engine adds an error of its own.
    assert sys.exit.call_args.args == (32,)  # type: ignore[attr-defined]
    assert RecordingEngine.latest.requests == {}
