"""
The state of a stack that was never brought up: what its no-change previews are timed on.

A preview says what an update would register; here that is recorded as if it had been done, and
previewed again, until nothing is left to change. No host is reached.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Preview = Callable[[], dict[str, Any]]
"""Runs ``pulumi preview --json`` and returns what it printed."""

Store = Callable[[dict[str, Any]], None]
"""Imports a deployment into the stack."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine prints for a value that only an update makes known."""

MOST_ROUNDS = 10

_COMPUTED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("computed.json").read_text()
)
"""What the provider adds to the inputs, by type: as the state of a real stack has it."""

_KEPT = ("urn", "custom", "type", "inputs", "parent", "dependencies", "propertyDependencies")


def settle(preview: Preview, store: Store) -> int:
    """
    Record what previews show until one has nothing to change.

    Returns:
        The number of resources, with the providers that the engine makes by itself.

    Raises:
        RuntimeError: after MOST_ROUNDS something still changes; names some of it.
    """
    resources: dict[str, dict[str, Any]] = {}
    left: list[str] = []
    for _ in range(MOST_ROUNDS):
        steps = preview()["steps"]
        left = [f"{step['op']} {step['urn']}" for step in steps if step["op"] != "same"]
        if resources and not left:
            return len(resources)
        for step in steps:
            if "newState" in step and step["op"] != "same":
                resources[step["urn"]] = _recorded(step["newState"])
        resources = _default_providers(resources) | resources
        store({"manifest": {"time": "0001-01-01T00:00:00Z"}, "resources": list(resources.values())})
    raise RuntimeError(f"still to change after {MOST_ROUNDS} previews: {', '.join(left[:5])}")


def _recorded(planned: Mapping[str, Any]) -> dict[str, Any]:
    """Return a planned resource as the engine records a made one."""
    inputs = _known(planned.get("inputs", {}))
    recorded = {key: planned[key] for key in _KEPT if key in planned}
    recorded["inputs"] = inputs
    recorded["outputs"] = _COMPUTED.get(planned["type"], {}) | _without_defaults(inputs)
    if planned["custom"]:
        recorded["id"] = _identifier(planned["urn"], inputs)
    if "Command" in planned["type"]:
        recorded["outputs"] |= {"stdout": "{}", "stderr": ""}
    if "provider" in planned:
        provider, _, _ = planned["provider"].rpartition("::")
        recorded["provider"] = f"{provider}::{uuid.uuid5(uuid.NAMESPACE_URL, provider)}"
    return recorded


def _default_providers(resources: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the providers that the engine makes by itself, and previews do not show."""
    missing: dict[str, dict[str, Any]] = {}
    for resource in resources.values():
        urn, _, identifier = resource.get("provider", "").rpartition("::")
        if urn and urn not in resources:
            *_, kind, name = urn.split("::")
            version = {"version": name.removeprefix("default_").replace("_", ".")}
            missing[urn] = {
                "urn": urn,
                "custom": True,
                "id": identifier,
                "type": kind,
                "inputs": version,
                "outputs": version,
            }
    return missing


def _identifier(urn: str, inputs: Mapping[str, Any]) -> str:
    # The id of a volume is its name, and the program's names are made of it.
    if ":Volume::" in urn:
        return str(inputs["name"])
    return str(uuid.uuid5(uuid.NAMESPACE_URL, urn))


def _known(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(UNKNOWN, "unknown")
    if isinstance(value, list):
        return [_known(item) for item in value]
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    return value


def _without_defaults(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _without_defaults(item)
            for key, item in value.items()
            if key not in ("__defaults", "__internal")
        }
    return value
