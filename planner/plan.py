"""The values that a plan is made of; `planner.placement` makes them."""

from dataclasses import dataclass

from planner.cpuset import CpuSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """
    One instance on one NUMA node.

    Attributes:
        host: the host's name in the settings.
        node: the kernel's number of the NUMA node.
        ordinal: which of the node's instances, from 0.
        cpus: the CPUs it may run on; None: no CPU set at all.
        memory_nodes: the NUMA nodes it may take memory from; None: any.
        threads: CPUs that it is meant to keep busy.
        port: of its REST API.
        address: its IPv4 address in the host's instance network.
        published: the host's IPv4 address on which its port is published, where the balancer is
            on another host; None: it is not published.
        weight: its share of the traffic, unitless; its number of cores.
    """

    host: str
    node: int
    ordinal: int
    cpus: CpuSet | None
    memory_nodes: CpuSet | None
    threads: int
    port: int
    address: str
    published: str | None
    weight: int

    @property
    def name(self) -> str:
        """What the instance is called everywhere; it depends on no other instance."""
        return f"{self.host}-node{self.node}-{self.ordinal}"

    @property
    def member_address(self) -> str:
        """The IPv4 address under which the balancer reaches it."""
        return self.published or self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """
    A NUMA node that gets no instance.

    Attributes:
        host: the host's name in the settings.
        node: the kernel's number of the NUMA node.
        reason: why, as the end of a sentence that begins with the node.
    """

    host: str
    node: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What runs where in one stack.

    Attributes:
        placements: in order of host, NUMA node and ordinal; one or more.
        unplaced: the NUMA nodes without instances, in order of host and node.
        notes: what an operator should know of the plan, a sentence or two each.
    """

    placements: tuple[Placement, ...]
    unplaced: tuple[Unplaced, ...]
    notes: tuple[str, ...]
