import json
from typing import Any

import pytest
from pydantic import ValidationError

from lifecycle.spec import Activation, Prepare, Push
from tests.lifecycle.world import activation, balancer

PUSH = {
    "version": 1,
    "docker": "unix:///var/run/docker.sock",
    "balancer": balancer(),
    "nginx_conf": ["events {}"],
    "start_s": 30,
}
PREPARE = {
    "version": 1,
    "docker": "unix:///var/run/docker.sock",
    "image": "image",
    "volume": "volume",
    "source": ".staged/model",
    "command": ["convert"],
    "convert_s": 600,
}
KINDS = [(Activation, activation()), (Push, PUSH), (Prepare, PREPARE)]
Kind = type[Activation | Push | Prepare]

each_kind = pytest.mark.parametrize(
    ("kind", "data"), KINDS, ids=[kind.__name__ for kind, _ in KINDS]
)


def faults_of(kind: Kind, data: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate_json(json.dumps(data))
    return [
        (".".join(map(str, fault["loc"])), str(fault["type"])) for fault in refused.value.errors()
    ]


@each_kind
def test_a_spec_is_the_same_after_its_way_through_json(kind: Kind, data: dict[str, Any]) -> None:
    spec = kind.model_validate_json(json.dumps(data))

    assert kind.model_validate_json(spec.model_dump_json()) == spec


@each_kind
def test_a_key_that_is_not_known_is_refused(kind: Kind, data: dict[str, Any]) -> None:
    assert faults_of(kind, {**data, "wieght": 1}) == [("wieght", "extra_forbidden")]


@each_kind
def test_every_key_of_the_first_version_must_be_there(kind: Kind, data: dict[str, Any]) -> None:
    """A newer one has a default: an older spec is read by today's code."""
    first = {key for key, field in kind.model_fields.items() if field.is_required()}

    assert faults_of(kind, {}) == [(key, "missing") for key in kind.model_fields if key in first]
    newer = {"published", "min_local_share", "scripts", "host_key", "known_hosts", "tls"}
    assert set(data) == first == set(kind.model_fields) - newer


@each_kind
def test_a_version_of_another_program_is_refused(kind: Kind, data: dict[str, Any]) -> None:
    assert faults_of(kind, {**data, "version": 2}) == [("version", "literal_error")]


def test_keys_inside_are_as_strict() -> None:
    data = activation(timeouts={"start_ms": 1}, balancer={**balancer(), "port": 8080})

    assert faults_of(Activation, data) == [
        ("balancer.port", "extra_forbidden"),
        ("timeouts.start_ms", "extra_forbidden"),
    ]


def test_an_instance_may_be_without_a_binding() -> None:
    spec = Activation.model_validate(activation(cpus=None, memory_nodes=None))

    assert (spec.cpus, spec.memory_nodes) == (None, None)


def test_a_spec_cannot_be_changed() -> None:
    spec = Activation.model_validate(activation())

    with pytest.raises(ValidationError):
        spec.weight = 2
