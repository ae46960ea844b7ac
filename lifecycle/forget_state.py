"""
What a state has of one host, and the same state without it.

Everything that a host's Docker provider made is the host's, and so are the components around
that, with the Commands in them. Others depend on it, as the instances of all hosts are one chain:
those dependencies go too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lifecycle.recover_state import DOCKER_PROVIDER, HOST_PREFIX, State, name_of
from lifecycle.spec import Activation
from planner.where import Where

Resource = dict[str, Any]

_CONTAINER = "docker:index/container:Container"
_COMMAND = "command:local:Command"
# The components that lie on one host; the others are the stack's.
_ON_ONE_HOST = tuple(f"ovms-numa:index:{name}" for name in ("Image", "ModelServer", "ModelStore"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPart:
    """
    What a state has of a host.

    Attributes:
        where: the host.
        urns: of all its resources.
        has_balancer: whether the balancer is among them.
        activations: of its instances.
    """

    where: Where
    urns: frozenset[str]
    has_balancer: bool
    activations: tuple[Activation, ...]


def of_host(state: State, host: str) -> HostPart | None:
    """Return what *state* has of *host*, or none where it has no such host."""
    where = state.docker_hosts().get(host)
    if where is None:
        return None
    resources = state.resources()
    (provider,) = (
        one
        for one in resources
        if one["type"] == DOCKER_PROVIDER and name_of(one) == HOST_PREFIX + host
    )
    made = [one for one in resources if _made_by(one) == provider["urn"]]
    parents = {one.get("parent") for one in made}
    around = {
        one["urn"] for one in resources if one["urn"] in parents and one["type"] in _ON_ONE_HOST
    }
    inside = [one for one in resources if one.get("parent") in around]
    its = [provider, *made, *inside]
    return HostPart(
        where=where,
        urns=frozenset({*around, *(one["urn"] for one in its)}),
        has_balancer=any(one["type"] == _CONTAINER and name_of(one) == "balancer" for one in made),
        activations=tuple(_activations(its)),
    )


def without(state: State, urns: frozenset[str]) -> State:
    """Return *state* without the resources *urns* and without dependencies on them."""
    kept = [_independent(one, urns) for one in state.resources() if one["urn"] not in urns]
    deployment = {**state.export["deployment"], "resources": kept}
    return State(export={**state.export, "deployment": deployment})


def _made_by(resource: Resource) -> str:
    """Return the URN of a resource's provider; the reference to it ends with the provider's id."""
    return str(resource.get("provider") or "").rpartition("::")[0]


def _activations(resources: list[Resource]) -> Iterator[Activation]:
    for one in resources:
        inputs = one.get("inputs") or {}
        if one["type"] == _COMMAND and name_of(one).endswith("-activation") and "stdin" in inputs:
            yield Activation.model_validate(json.loads(inputs["stdin"]))


def _independent(resource: Resource, urns: frozenset[str]) -> Resource:
    kept = dict(resource)
    if "dependencies" in kept:
        kept["dependencies"] = [urn for urn in kept["dependencies"] if urn not in urns]
    if "propertyDependencies" in kept:
        kept["propertyDependencies"] = {
            name: [urn for urn in its or () if urn not in urns]
            for name, its in kept["propertyDependencies"].items()
        }
    return kept
