"""Refusing a plan whose hosts are no longer as they were captured."""

from collections.abc import Iterator, Mapping

from lifecycle.observe import Observation
from planner.errors import TopologyError
from planner.placement.stale import stale
from planner.plan import Plan
from planner.settings import Settings
from planner.topology import HostTopology, differences


def refuse_changed_hosts(
    plan: Plan,
    settings: Settings,
    planned: Mapping[str, HostTopology],
    seen: Mapping[str, Observation],
) -> None:
    """
    Refuse a plan that was made for another topology than a host shows.

    Args:
        plan: of the stack.
        settings: of the stack.
        planned: the topologies that the plan was made for, by host name.
        seen: what was seen of each host that was looked at, by its name; one without a topology
            is not compared.

    Raises:
        TopologyError: for each host that differs, how, what the plan asks of it in vain, and the
            command that captures it again.
    """
    faults = []
    for name, observation in seen.items():
        live = observation.topology
        if live is not None and (found := differences(planned[name], live)):
            its = [placement for placement in plan.placements if placement.host == name]
            faults.append("\n".join(_lines(name, settings, found, stale(its, live))))
    if faults:
        raise TopologyError(*faults)


def _lines(
    name: str, settings: Settings, found: tuple[str, ...], lost: tuple[str, ...]
) -> Iterator[str]:
    host = settings.hosts[name]
    yield f"{name}: it is not as {host.topology} describes it."
    yield from (f"  {phrase}" for phrase in found)
    yield "  What that means:"
    yield from (f"    {phrase}" for phrase in lost)
    if not lost:
        yield "    every instance can run where it is planned, but a plan of today may differ"
    what = f"NAME={host.topology.removeprefix('hosts/').removesuffix('.json')}"
    if not host.docker.startswith("unix://"):
        what += f" HOST={host.docker}"
    if host.known_hosts is not None:
        what += f" KNOWN_HOSTS={host.known_hosts}"
    if host.host_key is not None:
        what += f" HOST_KEY='{host.host_key}'"
    yield f"  What to do: capture it again with `make capture {what}`, then look at the new plan,"
    yield "    or put the host back as it was."
