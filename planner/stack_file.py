"""The settings out of the text of a stack file."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from planner.errors import SettingsError

SETTINGS_KEY = "ovms-numa:settings"


def stack_settings(text: str, source: str) -> Mapping[str, Any]:
    """
    Read the settings, as plain data, out of the text of a Pulumi.STACK.yaml.

    Args:
        text: of the file.
        source: the file's name, for the faults.

    Raises:
        SettingsError: it is not YAML, has no settings, or has a key twice (YAML itself would take
            the last one, and Pulumi refuses the file); names every such key.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{source} is not YAML: {error}. Indent and quote it as Pulumi.dev.yaml is."
        ) from None
    twice = [f"{source}: {fault}" for fault in _keys_twice(root)]
    if twice:
        raise SettingsError(*twice)
    config = document.get("config") if isinstance(document, Mapping) else None
    settings = config.get(SETTINGS_KEY) if isinstance(config, Mapping) else None
    if not isinstance(settings, Mapping):
        raise SettingsError(
            f"{source} has no settings under config: {SETTINGS_KEY}. Write them as Pulumi.dev.yaml."
        )
    return settings


def _keys_twice(node: yaml.Node | None) -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys_twice(item)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            yield (
                f"line {line}: {key.value} is there twice, first in line {lines[key.value]}; "
                "write it once"
            )
        lines[key.value] = line
        yield from _keys_twice(value)
