"""What an operator should know of a plan that is good enough to be carried out."""

import ipaddress
from collections.abc import Iterator, Mapping

from planner.cpuset import CpuSet
from planner.placement.usable import all_cpus, usable_cores
from planner.plan import Placement
from planner.settings import Settings
from planner.topology import HostTopology


def plan_notes(
    settings: Settings, hosts: Mapping[str, HostTopology], placements: tuple[Placement, ...]
) -> tuple[str, ...]:
    """
    Say in words what the placements mean for their neighbours and for updates.

    Args:
        settings: of the stack.
        hosts: the topology of each of its hosts.
        placements: all of them, in order.
    """
    notes: list[str] = []
    for name, host in hosts.items():
        own = tuple(one for one in placements if one.host == name)
        notes += _host_notes(settings, name, host, own)
    return (
        *notes,
        *_binding_notes(settings),
        *_rollout_notes(settings, placements),
        *_image_notes(settings),
        *_endpoint_notes(settings),
        *_published_notes(settings),
    )


def _host_notes(
    settings: Settings, name: str, host: HostTopology, placements: tuple[Placement, ...]
) -> Iterator[str]:
    yield from _partly_allowed(name, host)
    yield from _siblings(settings, name, host)
    # Without a CPU set of its own an instance has no neighbours to name; `_binding_notes` says so.
    if settings.placement.cpu_binding != "node":
        return
    owners = _owners(placements)
    yield from _shared(owners)
    yield from _left_over(settings, name, host, placements)
    if name == settings.balancer_host:
        yield from _balancer(settings, owners)


def _partly_allowed(name: str, host: HostTopology) -> Iterator[str]:
    for core in host.cores:
        allowed = core.cpus & host.allowed_cpus
        if allowed and allowed != core.cpus:
            yield (
                f"core {core.cpus} of host {name} is left out: containers may use only {allowed} "
                "of it"
            )


def _siblings(settings: Settings, name: str, host: HostTopology) -> Iterator[str]:
    most = max((len(core.cpus) for core in host.cores), default=1)
    if settings.placement.smt == "siblings" and most > 1:
        yield (
            f"placement.smt is siblings: an instance runs on all {most} CPUs of each core of host "
            f"{name}, which share the core's arithmetic units; measure it against one-per-core"
        )


def _owners(placements: tuple[Placement, ...]) -> dict[int, tuple[str, ...]]:
    """Map each pinned CPU to the names of the instances on it."""
    owners: dict[int, tuple[str, ...]] = {}
    for placement in placements:
        for cpu in placement.cpus or ():
            owners[cpu] = (*owners.get(cpu, ()), placement.name)
    return owners


def _shared(owners: Mapping[int, tuple[str, ...]]) -> Iterator[str]:
    for names in sorted({names for names in owners.values() if len(names) > 1}):
        cpus = CpuSet.of(cpu for cpu, its in owners.items() if its == names)
        yield f"CPUs {cpus} are shared by {', '.join(names)} (placement.cpu-sharing is allowed)"


def _left_over(
    settings: Settings, name: str, host: HostTopology, placements: tuple[Placement, ...]
) -> Iterator[str]:
    """Say which cores an even division leaves, and whether any is left for the system."""
    pinned = CpuSet.of(cpu for one in placements for cpu in one.cpus or ())
    reserved = settings.placement.reserved_cpus
    if settings.placement.cores_per_instance is None:
        for node in host.nodes:
            cores = usable_cores(host, node, reserved)
            idle = all_cpus(core for core in cores if not core.cpus & pinned)
            if idle and any(one.node == node.id for one in placements):
                yield (
                    f"CPUs {idle} of NUMA node {node.id} of host {name} run no instance: "
                    f"{len(cores)} cores do not divide evenly by "
                    f"{settings.placement.instances_per_node}"
                )
    if all(core.cpus & pinned for core in host.cores):
        yield (
            f"every core of host {name} runs an instance, and the operating system shares them; "
            "placement.reserved-cpus keeps cores free"
        )


def _balancer(settings: Settings, owners: Mapping[int, tuple[str, ...]]) -> Iterator[str]:
    cpus = settings.balancer.cpus
    if not cpus:
        yield (
            f"the balancer floats (balancer.cpus is empty): it shares CPUs {CpuSet.of(owners)} "
            "with the instances"
        )
    shared = cpus & CpuSet.of(owners)
    if shared:
        names = sorted({name for cpu in shared for name in owners[cpu]})
        yield (
            f"the balancer shares CPUs {shared} with {', '.join(names)}; "
            "placement.reserved-cpus keeps cores free for it"
        )


def _binding_notes(settings: Settings) -> Iterator[str]:
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
