"""What stands on the hosts that keeps a plan from being carried out."""

from collections.abc import Mapping

from lifecycle.observe import Observation
from lifecycle.ports import refuse_taken_port
from planner.claims import check_addresses, check_claims
from planner.free_memory import check_free_memory
from planner.plan import Plan
from planner.settings import Settings


def refuse_conflicts(plan: Plan, settings: Settings, seen: Mapping[str, Observation]) -> None:
    """
    Refuse a plan that takes what others have, or what instances of other names still have.

    Args:
        plan: of the stack.
        settings: of the stack.
        seen: what was seen of each host that was looked at, by its name.

    Raises:
        PlacementError: names every CPU, port, network and address that is taken, and by whom; or
            the NUMA nodes that have too little memory left.
        LifecycleError: another program has the balancer's port.
    """
    check_claims(plan, settings, [claim for one in seen.values() for claim in one.claims])
    balancer, its_host = settings.balancer, settings.balancer_host
    if its_host in seen:
        refuse_taken_port(
            its_host,
            str(balancer.address),
            balancer.port,
            own=seen[its_host].published,
            listening=seen[its_host].listening,
        )
    for name, observation in seen.items():
        check_addresses(plan, name, observation.addresses)
        check_free_memory(plan, name, observation.memory)
