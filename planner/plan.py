"""The values that a plan is made of; `planner.placement` makes them."""

from dataclasses import dataclass

from planner.cpuset import CpuSet
from planner.demand import Demand


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """
    One instance on one NUMA node, or on the NUMA nodes of one socket.

    Attributes:
        host: the host's name in the settings.
        unit: what it lies on: `node` or `socket`.
        number: the kernel's number of the NUMA node or the socket.
        nodes: the ids of the NUMA nodes that it lies on, one or more.
        ordinal: which of the unit's instances, from 0.
        cpus: the CPUs it may run on; None: no CPU set at all.
        memory_nodes: the NUMA nodes it may take memory from; None: any.
        memory_bytes: the memory its container may take; None: any.
        threads: CPUs that it is meant to keep busy.
        port: of its REST API.
        address: its IPv4 address in the host's instance network.
        published: the host's IPv4 address on which its port is published, where the balancer is
            on another host; None: it is not published.
        weight: its share of the traffic, unitless; its number of cores.
    """

    host: str
    unit: str
    number: int
    nodes: CpuSet
    ordinal: int
    cpus: CpuSet | None
    memory_nodes: CpuSet | None
    memory_bytes: int | None
    threads: int
    port: int
    address: str
    published: str | None
    weight: int

    @property
    def name(self) -> str:
        """What the instance is called everywhere; it depends on no other instance."""
        return f"{self.host}-{self.unit}{self.number}-{self.ordinal}"

    @property
    def member_address(self) -> str:
        """The IPv4 address under which the balancer reaches it."""
        return self.published or self.address

    @property
    def memory_mib(self) -> int | None:
        """The memory its container may take, in MiB; None: any."""
        return None if self.memory_bytes is None else self.memory_bytes >> 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """
    A NUMA node or a socket that gets no instance.

    Attributes:
        host: the host's name in the settings.
        title: what it is called in a sentence, such as ``NUMA node 1``.
        reason: why, as the end of a sentence that begins with it.
    """

    host: str
    title: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What runs where in one stack.

    Attributes:
        placements: in order of host, unit and ordinal; one or more.
        unplaced: the NUMA nodes and sockets without instances, in order of host.
        balancer_cpus: the CPUs that the balancer runs on; none: it floats.
        demand: the memory that each instance needs.
        notes: what an operator should know of the plan, a sentence or two each.
    """

    placements: tuple[Placement, ...]
    unplaced: tuple[Unplaced, ...]
    balancer_cpus: CpuSet
    demand: Demand
    notes: tuple[str, ...]
