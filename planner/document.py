"""A plan as plain data, for the stack's outputs."""

from planner.placement import Plan


def plan_document(plan: Plan) -> list[dict[str, str | int]]:
    """Return the placements of *plan* in order; CPU and memory lists as Linux lists, or `any`."""
    return [
        {
            "instance": placement.name,
            "host": placement.host,
            "numa_node": placement.node,
            "cpus": "any" if placement.cpus is None else str(placement.cpus),
            "memory_nodes": "any"
            if placement.memory_nodes is None
            else str(placement.memory_nodes),
            "threads": placement.threads,
            "address": placement.member_address,
            "port": placement.port,
            "weight": placement.weight,
        }
        for placement in plan.placements
    ]
