"""The built Docker plugin's schema says what the installed pulumi_docker SDK says."""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pulumi_docker as docker
import pytest
from pulumi_docker import _inputs

import engine

SCHEMA: dict[str, Any] = json.loads(
    (Path(engine.__file__).parent / "docker" / "schema.json").read_text()
)
RESOURCES = {
    "docker:index/container:Container": docker.Container,
    "docker:index/network:Network": docker.Network,
    "docker:index/volume:Volume": docker.Volume,
    "docker:index/remoteImage:RemoteImage": docker.RemoteImage,
}
ARGUMENTS = {
    "docker:index/container:Container": docker.ContainerArgs,
    "docker:index/network:Network": docker.NetworkArgs,
    "docker:index/volume:Volume": docker.VolumeArgs,
    "docker:index/remoteImage:RemoteImage": docker.RemoteImageArgs,
    "pulumi:providers:docker": docker.ProviderArgs,
}
OFFICIAL: dict[str, Any] = json.loads(Path(__file__).with_name("docker_replaces.json").read_text())
"""Changes that replace, and the reasoned exceptions; the SDK carries no such flags."""


def inputs(token: str) -> dict[str, Any]:
    """Return the schema's inputs of a resource, or of the provider."""
    place = SCHEMA["provider"] if token.startswith("pulumi:") else SCHEMA["resources"][token]
    found: dict[str, Any] = place["inputProperties"]
    return found


@cache
def classes_of(module: str) -> dict[str, ast.ClassDef]:
    """Return the classes that *module* defines; parsed once, as the SDK's modules are long."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def getter_names(kind: type) -> set[str]:
    """
    Return the wire names of a generated SDK class.

    Each is a property with `@pulumi.getter(name="cpuSet")`, or with `@pulumi.getter` where the
    Python name is the wire name.
    """
    names = set()
    for function in classes_of(kind.__module__)[kind.__name__].body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in map(ast.unparse, function.decorator_list):
            if decorator.startswith("pulumi.getter"):
                given = re.search(r"name='(\w+)'", decorator)
                names.add(given.group(1) if given else function.name)
    return names


def references(value: object) -> Iterator[str]:
    """Yield the tokens of the nested types that a part of the schema names."""
    if isinstance(value, dict):
        reference = value.get("$ref", "")
        if isinstance(reference, str) and reference.startswith("#/types/"):
            yield reference.removeprefix("#/types/")
        for part in value.values():
            yield from references(part)


def nested_types() -> list[str]:
    """Return the tokens of all nested types that the inputs of the five reach."""
    reached: set[str] = set()
    waiting = [one for token in ARGUMENTS for one in references(inputs(token))]
    while waiting:
        token = waiting.pop()
        if token not in reached:
            reached.add(token)
            waiting.extend(references(SCHEMA["types"][token]))
    return sorted(reached)


@pytest.mark.parametrize("token", ARGUMENTS)
def test_the_inputs_have_the_sdks_names(token: str) -> None:
    assert set(inputs(token)) == getter_names(ARGUMENTS[token])


@pytest.mark.parametrize("token", RESOURCES)
def test_the_outputs_have_the_sdks_names(token: str) -> None:
    assert set(SCHEMA["resources"][token]["properties"]) == getter_names(RESOURCES[token])


@pytest.mark.parametrize("token", nested_types())
def test_a_nested_type_has_the_sdks_names(token: str) -> None:
    kind = getattr(_inputs, token.rpartition(":")[2] + "Args")

    assert set(SCHEMA["types"][token]["properties"]) == getter_names(kind)


def test_nested_types_are_reached_at_all() -> None:
    assert "docker:index/ContainerNetworksAdvanced:ContainerNetworksAdvanced" in nested_types()
    assert "docker:index/RemoteImageBuild:RemoteImageBuild" in nested_types()


@pytest.mark.parametrize("token", OFFICIAL["replaces"])
def test_the_same_changes_replace_as_with_the_official_plugin(token: str) -> None:
    flagged = {name for name, one in inputs(token).items() if one.get("willReplaceOnChanges")}

    assert flagged == {*OFFICIAL["replaces"][token], *OFFICIAL["since-5.2"].get(token, {})}


def sdk_secrets(kind: type) -> set[str]:
    """Return the outputs that the SDK marks secret, by their wire names."""
    text = ast.unparse(classes_of(kind.__module__)[kind.__name__])
    listed = re.search(r"additional_secret_outputs=\[([^\]]*)\]", text)
    return set(re.findall(r"'(\w+)'", listed.group(1))) if listed else set()


@pytest.mark.parametrize("token", [*RESOURCES, "docker:index/secret:Secret"])
def test_the_same_outputs_are_secret(token: str) -> None:
    """Of what the program uses nothing is; Secret shows that the SDK's marks are read."""
    kind = RESOURCES.get(token, docker.Secret)
    properties = SCHEMA["resources"][token]["properties"]

    assert {name for name, one in properties.items() if one.get("secret")} == sdk_secrets(kind)


def test_the_secret_resources_data_is_secret_in_the_sdk() -> None:
    assert sdk_secrets(docker.Secret) == {"data"}


def test_the_schema_is_of_the_sdks_version() -> None:
    plugin = json.loads((Path(docker.__file__).parent / "pulumi-plugin.json").read_text())

    assert SCHEMA["version"] == plugin["version"]
