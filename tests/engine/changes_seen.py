"""What a preview or an update touched, read from the engine's events, and its words."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.engine.stack import Stack

# The hash of an image's or a model's content is another one whenever its recipe changes.
_HASH = re.compile(r"-[0-9a-f]{12}(?=-|$)")
_UNCHANGED = ("same", "read", "refresh")
_REPLACED = ("delete-replaced", "replace", "create-replacement")
_ACTIVATION = "-activation"
VERBS = ("create", "replace", "update", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A finished step of the engine that is not *same*: on which resource, with which inputs."""

    op: str
    kind: str
    """The last part of its type, such as ``Container``."""
    name: str
    inputs: str


def read_touches(stack: Stack) -> tuple[Touch, ...]:
    """Read what the last run on *stack* planned or did, in order, components left out."""
    lines = (stack.folder / "events.json").read_text().splitlines()
    events = (json.loads(line).get("resOutputsEvent") for line in lines)
    steps = [event["metadata"] for event in events if event is not None]
    return tuple(
        Touch(
            op=step["op"],
            kind=step["type"].rpartition(":")[2],
            name=step["urn"].rpartition("::")[2],
            inputs=json.dumps((step["new"] or {}).get("inputs"), sort_keys=True),
        )
        for step in steps
        if step["op"] not in _UNCHANGED and not step["type"].startswith("ovms-numa:")
    )


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Effect:
    """What becomes of a resource."""

    verb: str
    """One of `VERBS`."""
    kind: str
    name: str
    """With HASH for the hash of a content."""


def effects(touches: Iterable[Touch]) -> tuple[Effect, ...]:
    """Tell what becomes of each resource that was touched, in an order that is always the same."""
    found = {
        (touch.kind, touch.name): "replace" if touch.op in _REPLACED else touch.op
        for touch in touches
    }
    named = (
        Effect(verb=verb, kind=kind, name=_HASH.sub("-HASH", name))
        for (kind, name), verb in found.items()
    )
    return tuple(sorted(named, key=lambda one: (VERBS.index(one.verb), one.name, one.kind)))


def resources(found: tuple[Effect, ...]) -> str:
    """Name what was touched, by what was done to it."""
    names = {verb: [f"`{one.name}`" for one in found if one.verb == verb] for verb in VERBS}
    return "; ".join(f"{verb} {', '.join(its)}" for verb, its in names.items() if its) or "none"


def tell(touches: tuple[Touch, ...]) -> str:
    """Say in words what an operator sees of *touches*."""
    found = effects(touches)
    clauses = [
        *_provider(found),
        *_images(found, "create", "makes"),
        *_balancer(found),
        *_instances(found, touches),
        *_models(found),
        *_images(found, "delete", "at the end removes"),
    ]
    return "; ".join(clauses) or "nothing"


def _has(found: tuple[Effect, ...], verb: str, kind: str, name: str) -> bool:
    return Effect(verb=verb, kind=kind, name=name) in found


def _provider(found: tuple[Effect, ...]) -> Iterator[str]:
    if any(one.kind == "docker" and one.verb == "update" for one in found):
        yield "the engine and the actions use the new URL"


def _images(found: tuple[Effect, ...], verb: str, words: str) -> Iterator[str]:
    names = [
        one.name.removesuffix("-HASH")
        for one in found
        if one.kind == "RemoteImage" and one.verb == verb
    ]
    if names:
        yield f"{words} the image{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _models(found: tuple[Effect, ...]) -> Iterator[str]:
    if _has(found, "delete", "Volume", "models-HASH"):
        yield "at the end removes the volume of the prepared model"


def _balancer(found: tuple[Effect, ...]) -> Iterator[str]:
    if _has(found, "replace", "Network", "balancer-instances"):
        yield "replaces the network of the instances, and all that is in it"
    if _has(found, "replace", "Container", "balancer"):
        yield "replaces the balancer, whose port is closed meanwhile"
    elif _has(found, "update", "Command", "balancer-pushed"):
        yield "one reload of Nginx"


def _instances(found: tuple[Effect, ...], touches: tuple[Touch, ...]) -> Iterator[str]:
    verbs = {one.name: one.verb for one in found if one.name.endswith(_ACTIVATION)}
    words = {
        "create": "makes and opens",
        "replace": "drains, replaces and opens",
        "update": "runs the activations again, on the containers as they are:",
        "delete": "at the end drains and removes",
    }
    for verb in VERBS:
        names = [name.removesuffix(_ACTIVATION) for name, its in verbs.items() if its == verb]
        manner = _manner(touches, len(names)) if verb == "replace" else ""
        if names:
            yield f"{words[verb]} {', '.join(names)}{manner}"


def _manner(touches: tuple[Touch, ...], count: int) -> str:
    """Tell whether the first of *count* instances is there again before the last one goes."""
    if count < 2:
        return ""
    steps = [touch.op for touch in touches if touch.name.endswith(_ACTIVATION)]
    together = steps[:count] == ["delete-replaced"] * count
    return ", all together" if together else ", one after another"
