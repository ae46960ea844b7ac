"""A plan as plain data, for the stack's outputs."""

from planner.plan import Plan


def plan_document(plan: Plan) -> list[dict[str, str | int]]:
    """Return the placements of *plan* in order; CPU and memory lists as Linux lists, or `any`."""
    return [
        {
            "instance": placement.name,
            "host": placement.host,
            "unit": placement.unit,
            "numa_nodes": str(placement.nodes),
            "cpus": "any" if placement.cpus is None else str(placement.cpus),
            "memory_nodes": "any"
            if placement.memory_nodes is None
            else str(placement.memory_nodes),
            "memory_limit_mib": "any" if placement.memory_mib is None else placement.memory_mib,
            "threads": placement.threads,
            "address": placement.member_address,
            "port": placement.port,
            "weight": placement.weight,
        }
        for placement in plan.placements
    ]


def unplaced_document(plan: Plan) -> list[dict[str, str]]:
    """Return what of the hosts *plan* leaves out, and why."""
    return [{"host": one.host, "unit": one.title, "reason": one.reason} for one in plan.unplaced]
