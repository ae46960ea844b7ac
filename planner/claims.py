"""What other stacks have of a host, and whether a plan keeps off it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.plan import Plan
from planner.settings import Settings

_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 (compared, not listened on)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    What one other stack has of a host.

    Attributes:
        host: the host's name in the settings of the stack that is planned.
        project: of the other stack.
        stack: its name.
        cpus: the CPUs that its instances are bound to; those that float claim none.
        ports: IPv4 address and port of each port that it publishes on the host.
        subnet: of its instances' network; None: not known.
    """

    host: str
    project: str
    stack: str
    cpus: CpuSet
    ports: frozenset[tuple[str, int]] = frozenset()
    subnet: IPv4Network | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    A port that a stack publishes on a host.

    Attributes:
        who: whose it is: ``the balancer``, or an instance's name.
        setting: which setting says the port.
        address: IPv4, of the host.
        port: TCP.
    """

    who: str
    setting: str
    address: str
    port: int


def published(plan: Plan, settings: Settings, host: str) -> Iterator[Published]:
    """Yield each port that the stack of *plan* and *settings* publishes on *host*."""
    balancer = settings.balancer
    if host == settings.balancer_host:
        yield Published(
            who="the balancer",
            setting="balancer.port",
            address=balancer.address,
            port=balancer.port,
        )
    for one in plan.placements:
        if one.host == host and one.published is not None:
            yield Published(
                who=one.name, setting="server.rest-port", address=one.published, port=one.port
            )


def check_claims(plan: Plan, settings: Settings, claims: Iterable[Claim]) -> None:
    """
    Refuse a plan that takes what another stack has.

    CPUs may be shared where ``placement.cpu-sharing`` is allowed; a port and a network never.
    CPU ids are enough to tell that cores meet: an instance always has its cores' lowest CPUs.

    Args:
        plan: of the stack.
        settings: of the stack.
        claims: of every other stack on its hosts, without the stack's own.

    Raises:
        PlacementError: names every CPU, port and network that is taken, and by whom.
    """
    ordered = sorted(claims, key=lambda claim: (claim.host, claim.project, claim.stack))
    faults = [fault for claim in ordered for fault in _faults(plan, settings, claim)]
    if faults:
        raise PlacementError(*faults)


def check_addresses(plan: Plan, host: str, addresses: Mapping[str, str]) -> None:
    """
    Refuse a plan whose instances get addresses that others of the same stack still have.

    An instance that is no longer planned keeps its address to the end of an update, as nothing
    may be missed before the new ones serve; so the new one of another name could not start.

    Args:
        plan: of the stack.
        host: the name of one of its hosts.
        addresses: what the instances are called that run there, by their address.

    Raises:
        PlacementError: names every such address, who gets it and who has it.
    """
    faults = [
        f"{one.name} gets the address {one.address} of {addresses[one.address]}, which has it "
        "until the end of the update. Run `make down` first, or give the host's instances "
        f"another network (hosts.{host}.subnet)."
        for one in plan.placements
        if one.host == host and addresses.get(one.address, one.name) != one.name
    ]
    if faults:
        raise PlacementError(*faults)


def _faults(plan: Plan, settings: Settings, claim: Claim) -> Iterator[str]:
    if claim.host not in settings.hosts:
        return
    who = f"the stack {claim.project}/{claim.stack}"
    own = CpuSet.of(
        cpu for one in plan.placements if one.host == claim.host for cpu in one.cpus or ()
    )
    shared = own & claim.cpus
    if shared and settings.placement.cpu_sharing == "refused":
        yield (
            f"CPUs {shared} of host {claim.host} run instances of {who}. Keep off them with "
            "placement.reserved-cpus or placement.exclude-nodes, take that stack down, or set "
            "placement.cpu-sharing: allowed."
        )
    for its in published(plan, settings, claim.host):
        for address, port in sorted(claim.ports):
            if port == its.port and _meet(address, its.address):
                yield (
                    f"{its.setting}: {port} on {its.address} of host {claim.host} is published by "
                    f"{who} on {address}. Write another port, or take that stack down."
                )
    subnet = settings.hosts[claim.host].subnet
    if claim.subnet is not None and subnet.overlaps(claim.subnet):
        yield (
            f"hosts.{claim.host}.subnet: {subnet} overlaps {claim.subnet}, the network of {who}. "
            "Write a network of this stack's own."
        )


def _meet(first: str, second: str) -> bool:
    return first == second or _ANY_ADDRESS in (first, second)
