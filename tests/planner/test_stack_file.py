"""Pulumi.dev.yaml is the commented reference of every setting, and a stack that can be planned."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from planner.placement import plan
from planner.settings import HostSettings, Settings, SingleModelSettings, parse_settings
from tests.planner.worlds import ONE_NODE, make_host

STACK_FILE = Path(__file__).parents[2] / "Pulumi.dev.yaml"
KEY = "ovms-numa:settings"

# A setting at its default is a line "#key: value"; prose has a space after the hash.
COMMENTED = re.compile(r"^( *)#([a-z][a-z-]*: .*)$", re.MULTILINE)


def sections(model: type[BaseModel] = Settings) -> Iterator[tuple[str, type[BaseModel]]]:
    yield "hosts", HostSettings
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield field.alias or name, field.annotation


def nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The sections that stand, if at all, below a key of *model*."""
    for field in model.model_fields.values():
        for kind in get_args(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield kind


def settings_of(text: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(text)["config"][KEY]
    return settings


def written(settings: dict[str, Any], section: str) -> dict[str, Any]:
    """The lines of a section; of hosts, those of its one host."""
    lines: dict[str, Any] = settings[section]
    return next(iter(lines.values())) if section == "hosts" else lines


def everything() -> dict[str, Any]:
    """The file with every commented setting taken in."""
    return settings_of(COMMENTED.sub(r"\1\2", STACK_FILE.read_text()))


@pytest.mark.parametrize(("section", "model"), list(sections()))
def test_every_setting_is_in_the_reference_and_nothing_else(
    section: str, model: type[BaseModel]
) -> None:
    keys = [field.alias or name for name, field in model.model_fields.items()]

    assert list(written(everything(), section)) == keys


def test_a_commented_setting_shows_its_default() -> None:
    """Taking the hash away changes nothing."""
    settings = parse_settings(settings_of(STACK_FILE.read_text()), "dev")

    assert parse_settings(everything(), "dev") == settings


@pytest.mark.parametrize(("section", "model"), list(sections()))
def test_each_setting_is_explained_as_the_model_explains_it(
    section: str, model: type[BaseModel]
) -> None:
    text = " ".join(re.sub(r"(?m)^ *# ", "", STACK_FILE.read_text()).split())

    for kind in (model, *nested(model)):
        for name, field in kind.model_fields.items():
            assert field.description, f"{section}.{name} has no description"
            assert field.description.rstrip(".") in text, f"{section}.{name}: {field.description}"


def test_the_keys_of_one_model_are_in_the_reference_with_their_defaults() -> None:
    """They are prose there, as a section of its own has a key without default."""
    text = STACK_FILE.read_text()

    shown = dict(re.findall(r"(?m)^ {6}#   ([a-z-]+): (.+)$", text))

    assert list(shown) == [
        field.alias or name for name, field in SingleModelSettings.model_fields.items()
    ]
    single = {key: yaml.safe_load(value) for key, value in shown.items()}
    bare = {"path": single["path"]}
    parsed, default = (
        parse_settings({"hosts": {"box": {}}, "models": {"single": keys}}, "test")
        for keys in (single, bare)
    )
    assert parsed == default


def test_the_stack_is_two_instances_of_one_core_each_on_a_machine_of_two_cpus() -> None:
    settings = parse_settings(settings_of(STACK_FILE.read_text()), "dev")

    placed = plan(settings, {"local": make_host(ONE_NODE)}).placements

    assert [(one.name, str(one.cpus), str(one.memory_nodes)) for one in placed] == [
        ("local-node0-0", "0", "0"),
        ("local-node0-1", "1", "0"),
    ]
