"""The JSON Schema of stack files, made from the settings' models, for editors."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from planner.settings import Section, Settings
from planner.stack_file import SETTINGS_KEY

# Draft 7 is what YAML language servers know best; nothing that is made here needs a later one.
_DRAFT = "http://json-schema.org/draft-07/schema#"


class _Generator(GenerateJsonSchema):
    """Writes defaults as a stack file has them, and no titles, which only repeat the keys."""

    def encode_default(self, dft: Any) -> Any:
        """Give a default as YAML has it; a section that is left out is an empty one."""
        if isinstance(dft, Section):
            return {}
        plain = dft is None or isinstance(dft, bool | int | str | tuple | dict)
        return super().encode_default(dft) if plain else str(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Tell pydantic to leave out a field's title."""
        del schema
        return False


def stack_schema() -> dict[str, Any]:
    """
    Describe a whole Pulumi.STACK.yaml.

    It knows keys, types, ranges and choices. What the planner checks beyond (lists of CPUs against
    the host, values that do not go together) is told by ``make plan``.
    """
    settings = Settings.model_json_schema(
        by_alias=True, ref_template="#/definitions/{model}", schema_generator=_Generator
    )
    definitions = settings.pop("$defs")
    settings["type"] = "object"
    config = {
        "type": "object",
        "description": "The configuration of the stack.",
        "properties": {SETTINGS_KEY: {"$ref": "#/definitions/Settings"}},
        "required": [SETTINGS_KEY],
    }
    return {
        "$schema": _DRAFT,
        "title": "A stack file of ovms-numa, Pulumi.STACK.yaml",
        "type": "object",
        "properties": {"config": config, "encryptionsalt": {"type": "string"}},
        "required": ["config"],
        "definitions": {**definitions, "Settings": settings},
    }


def render_schema() -> str:
    """Give the schema's text; the same models give the same bytes."""
    return json.dumps(stack_schema(), indent=2) + "\n"
