"""What an operator should know of a plan that is good enough to be carried out."""

import ipaddress
from collections.abc import Iterator, Mapping

from planner.cpuset import CpuSet
from planner.demand import Demand
from planner.placement.host_notes import host_notes
from planner.placement.usable import Usable
from planner.plan import Placement
from planner.settings import Settings


def plan_notes(
    settings: Settings,
    hosts: Mapping[str, Usable],
    placements: tuple[Placement, ...],
    balancer_cpus: CpuSet,
    demand: Demand,
) -> tuple[str, ...]:
    """
    Say in words what the placements mean for their neighbours and for updates.

    Args:
        settings: of the stack.
        hosts: what instances may use of each of its hosts.
        placements: all of them, in order.
        balancer_cpus: the CPUs of the balancer; none: it floats.
        demand: the memory that each instance needs.
    """
    notes: list[str] = []
    for name, usable in hosts.items():
        own = tuple(one for one in placements if one.host == name)
        notes += host_notes(settings, name, usable, own, balancer_cpus)
    return (
        *notes,
        *_binding_notes(settings),
        *_memory_notes(demand),
        *_rollout_notes(settings, placements),
        *_image_notes(settings),
        *_endpoint_notes(settings),
        *_published_notes(settings),
    )


def _binding_notes(settings: Settings) -> Iterator[str]:
    if settings.placement.policy == "none":
        yield (
            "placement.policy is none, which is there to measure against: no instance is bound to "
            "the memory of its NUMA node, and to its CPUs only by placement.cpu-binding"
        )
        return
    binding = settings.placement.cpu_binding
    if binding != "node":
        on = "on every usable CPU of its host" if binding == "host" else "on any CPU"
        yield (
            f"placement.cpu-binding is {binding}, which is there to measure against: each "
            f"instance runs {on}, whatever its NUMA node"
        )
    if settings.placement.memory_binding == "none":
        yield (
            "placement.memory-binding is none, which is there to measure against: an instance may "
            "take memory from any NUMA node"
        )


def _memory_notes(demand: Demand) -> Iterator[str]:
    """Say what of an instance's memory is not known, and what follows."""
    if demand.limit is not None:
        return
    if demand.least is None:
        yield (
            "what an instance needs of its NUMA node's memory is not known, so it is not checked, "
            "and containers have no limit: models.weights-mib says it"
        )
        return
    unknown = []
    if demand.weights_are_files:
        unknown.append(f"how much the weights of {demand.weights} MiB become once loaded")
    if demand.cache is None:
        unknown.append("how far the KV cache grows")
    elif demand.cache_is_from_files:
        unknown.append("the KV cache but from files of this machine")
    keys = " and ".join(demand.unknown_keys)
    yield (
        f"each instance is checked for {demand.words} or more, and its container has no limit: "
        f"not known is {' and '.join(unknown)} ({keys})"
    )


def _rollout_notes(settings: Settings, placements: tuple[Placement, ...]) -> Iterator[str]:
    down, all_of_them = settings.rollout.max_unavailable, len(placements)
    if down >= all_of_them:
        yield (
            f"rollout.max-unavailable is {down} of {all_of_them}: "
            "an update leaves no instance serving"
        )
    if not settings.rollout.drain:
        yield "rollout.drain is false: an update cuts the requests in flight"


def _image_notes(settings: Settings) -> Iterator[str]:
    images = {"server.image": settings.server.image, "balancer.image": settings.balancer.image}
    for key, image in images.items():
        # The words for what is built here have no tag; its content's hash becomes one.
        if ":" in image and "@" not in image:
            yield (
                f"{key} is {image}, by tag and not by digest: the registry can give another image "
                "under that name; `make pin` writes the digest"
            )


def _endpoint_notes(settings: Settings) -> Iterator[str]:
    address = settings.balancer.address
    if not ipaddress.IPv4Address(address).is_loopback:
        yield (
            f"balancer.address is {address}: other machines reach the endpoint, which has neither "
            "TLS nor a key"
        )


def _published_notes(settings: Settings) -> Iterator[str]:
    others = sorted(set(settings.hosts) - {settings.balancer_host})
    if others:
        addresses = ", ".join(f"{settings.hosts[name].address} ({name})" for name in others)
        yield (
            f"instances of other hosts than {settings.balancer_host} publish their ports, which "
            f"have neither TLS nor a key, on {addresses}: let that network reach no client"
        )
