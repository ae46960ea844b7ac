"""What stands on the hosts that keeps a plan from being carried out."""

from collections.abc import Mapping

from lifecycle.observe import Observation
from lifecycle.ports import refuse_taken_port
from planner.claims import check_addresses, check_claims, published
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
        LifecycleError: another program has a port of the balancer or of an instance.
    """
    check_claims(plan, settings, [claim for one in seen.values() for claim in one.claims])
    for name, observation in seen.items():
        for its in published(plan, settings, name):
            refuse_taken_port(name, its, own=observation.published, listening=observation.listening)
        check_addresses(plan, name, observation.addresses)
        check_free_memory(plan, name, observation.memory)
