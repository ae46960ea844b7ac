"""The JSON Schema that editors read is the one of the models."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner import __main__ as program
from planner.schema import render_schema, stack_schema
from planner.settings import Settings
from planner.stack_file import SETTINGS_KEY

ROOT = Path(__file__).parents[2]
SCHEMA_FILE = "schema/settings.schema.json"
STACK_FILES = sorted(ROOT.glob("Pulumi.*.yaml"))


def definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = stack_schema()["definitions"][name]
    return found


def test_the_schema_in_the_repository_is_the_one_of_the_models() -> None:
    assert (ROOT / SCHEMA_FILE).read_text() == render_schema(), "run `make schema`"


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--schema"]) == 0
    assert capsys.readouterr().out == render_schema()


def test_every_reference_leads_to_a_definition() -> None:
    text = render_schema()
    schema = json.loads(text)

    references = {part.split('"')[0] for part in text.split('"#/definitions/')[1:]}

    assert references <= set(schema["definitions"])
    assert "Settings" in references


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_an_editor_finds_the_schema_of_a_stack_file(path: Path) -> None:
    first = path.read_text().splitlines()[0]

    assert first == f"# yaml-language-server: $schema={SCHEMA_FILE}"


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_every_key_of_a_stack_file_is_in_the_schema(path: Path) -> None:
    document = yaml.safe_load(path.read_text())

    assert set(document) <= set(stack_schema()["properties"])
    for section, keys in document["config"][SETTINGS_KEY].items():
        described = definition("Settings")["properties"][section]
        if section == "hosts":
            (keys,) = keys.values()
            described = described["additionalProperties"]
        properties = definition(described["$ref"].rpartition("/")[2])["properties"]
        assert set(keys) <= set(properties)


def test_unknown_keys_are_refused_in_every_section() -> None:
    sections = {name for name in stack_schema()["definitions"] if name.endswith("Settings")}

    assert len(sections) == len(Settings.model_fields) + 2  # the host's, and the one model's
    assert all(definition(name)["additionalProperties"] is False for name in sections)


def test_a_section_may_be_empty_but_the_settings_may_not() -> None:
    assert definition("ServerSettings")["type"] == ["object", "null"]
    assert definition("Settings")["type"] == "object"
    assert definition("Settings")["required"] == ["hosts"]


def test_defaults_are_as_a_stack_file_has_them() -> None:
    placement = definition("PlacementSettings")["properties"]

    assert placement["reserved-cpus"]["default"] == ""
    assert placement["exclude-nodes"]["default"] == []
    assert definition("HostSettings")["properties"]["subnet"]["default"] == "172.30.80.0/24"
    assert definition("Settings")["properties"]["server"]["default"] == {}
