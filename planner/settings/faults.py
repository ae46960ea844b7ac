"""What pydantic found, in words that name the key, the value seen and the remedy."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from planner.settings.base import FAULT, FAULTS

Location = tuple[int | str, ...]

# What each strict type wants, in the words of a YAML file.
_WANTED = {
    "int_type": "a whole number, without quotes",
    "float_type": "a number, without quotes",
    "bool_type": "true or false, without quotes",
    "string_type": "text",
    "tuple_type": "a list, such as [a, b]",
    "dict_type": "keys with values, indented below it",
    "model_type": "keys with values, indented below it",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "below {}, the least there is; write {} or more"),
    "less_than_equal": ("le", "above {}, the most there is; write {} or less"),
}


def describe(errors: Sequence[ErrorDetails], root: type[BaseModel]) -> list[tuple[str, str]]:
    """
    Turn validation errors into faults.

    Args:
        errors: as `ValidationError.errors()` gives them.
        root: the model that was validated.

    Returns:
        Path (such as ``balancer.port``, "(top)" for the whole) and text of each fault, in the
        order of *errors*, each once.
    """
    faults = [fault for error in errors for fault in _faults(error, root)]
    return list(dict.fromkeys(faults))


def _faults(error: ErrorDetails, root: type[BaseModel]) -> Iterator[tuple[str, str]]:
    location = error["loc"]
    if error["type"] == FAULTS:
        for key, text in error["ctx"]["faults"]:
            yield _path((*location, key)), text
        return
    yield _path(location), _text(error, root)


def _text(error: ErrorDetails, root: type[BaseModel]) -> str:
    kind, seen = error["type"], error["input"]
    if kind == FAULT:
        return str(error["ctx"]["text"])
    if kind == "missing":
        return "is missing; there is no default for it; write it as Pulumi.dev.yaml shows"
    if kind == "extra_forbidden":
        return _unknown_key(error["loc"], root)
    if kind == "literal_error":
        return f"{seen!r} is none of the values there are; write {error['ctx']['expected']}"
    if kind == "too_short":
        return "is an empty list; write one or more"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        limit = error["ctx"][bound]
        return f"{seen!r} is {words.format(limit, limit)}"
    return _wrong_type(kind, seen, error["msg"])


def _wrong_type(kind: str, seen: object, message: str) -> str:
    wanted = _WANTED.get(kind, message)
    if seen is None:
        return f"is empty; it takes {wanted}; write that, or leave the key out if it has a default"
    return f"{seen!r} is {_kind_of(seen)}; it takes {wanted}; write that"


def _kind_of(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number with a fraction"}
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return names.get(type(value), "text")


def _unknown_key(location: Location, root: type[BaseModel]) -> str:
    key = str(location[-1])
    model = _model_at(location[:-1], root)
    keys = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    if near:
        return f"unknown key; did you mean {near[0]}"
    return f"unknown key; the keys here are {', '.join(keys)}"


def _model_at(location: Location, root: type[BaseModel]) -> type[BaseModel]:
    """Find the section that the keys of *location* lead to; they are of sections and mappings."""
    model = root
    annotation: Any = root
    for part in location:
        fields = {field.alias: field.annotation for field in model.model_fields.values()}
        # A mapping's own key leads to its values' type, which is already taken.
        annotation = fields.get(str(part), annotation)
        model = next(
            (
                kind
                for kind in (annotation, *get_args(annotation))
                if isinstance(kind, type) and issubclass(kind, BaseModel)
            ),
            model,
        )
    return model


def _path(location: Location) -> str:
    """Write a location as the keys in the file; pydantic's own marks are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}"
    return path.removeprefix(".") or "(top)"
