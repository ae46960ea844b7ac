"""A plan as text, for people."""

from collections.abc import Iterator, Sequence

from planner.plan import Placement, Plan
from planner.settings import Settings

_HEADINGS = (
    "instance", "NUMA node", "CPUs", "memory node", "memory limit", "threads", "address", "weight",
)  # fmt: skip


def render_table(plan: Plan, settings: Settings) -> str:
    """
    Show a plan: instances, endpoint, what the weights cost, nodes without instances, notes.

    Returns:
        Lines that end with a line break; the same for equal plans and settings.
    """
    rows = [_HEADINGS, *(_row(placement) for placement in plan.placements)]
    lines = [*aligned(rows), "", _endpoint(plan, settings), _weights(plan, settings)]
    if plan.unplaced:
        lines += ["", "not placed:"]
        lines += [f"  {one.host} {one.title}: {one.reason}" for one in plan.unplaced]
    if plan.notes:
        lines += ["", *(f"note: {note}" for note in plan.notes)]
    return "\n".join(lines) + "\n"


def _row(placement: Placement) -> tuple[str, ...]:
    return (
        placement.name,
        str(placement.nodes)
        if placement.unit == "node"
        else f"{placement.nodes} (socket {placement.number})",
        "any" if placement.cpus is None else str(placement.cpus),
        "any" if placement.memory_nodes is None else str(placement.memory_nodes),
        "none" if placement.memory_mib is None else f"{placement.memory_mib} MiB",
        str(placement.threads),
        f"{placement.member_address}:{placement.port}",
        str(placement.weight),
    )


def aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield *rows* as lines whose columns begin below each other."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _endpoint(plan: Plan, settings: Settings) -> str:
    balancer = settings.balancer
    return (
        f"endpoint: http://{balancer.address}:{balancer.port} "
        f"(balancer on CPUs {plan.balancer_cpus or 'any'}), "
        f"models: {', '.join(settings.models.names)}, image: {settings.server.image}"
    )


def _weights(plan: Plan, settings: Settings) -> str:
    """Say how many copies of the weights there are, and where they lie."""
    if settings.private_weights:
        return (
            f"weights: private, {len(plan.placements)} copies: each instance has its own in memory "
            "of its NUMA node"
        )
    shared = "shared, one copy a host: in the page cache, on the NUMA node that read it first"
    if settings.models.single is not None:
        return f"weights: {shared}"
    return f"weights: {shared} (unless a graph.pbtxt says ENABLE_MMAP false)"
