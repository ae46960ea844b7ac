"""How instances lie on the NUMA nodes of their hosts."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from planner.cpuset import HIGHEST_ID, CpuSet
from planner.settings.base import FromList, LinuxList, Section, fault

MIN_LOCAL_SHARE = 0.99
"""Of `placement.min-local-share`; a spec that does not name it means this one."""


def _distinct(ids: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted({node for node in ids if ids.count(node) > 1})
    if twice:
        raise fault(f"NUMA nodes {twice} are there twice; write each once")
    return ids


class PlacementSettings(Section):
    """How many instances a NUMA node gets, and which CPUs and memory they get."""

    policy: Literal["none", "best-effort", "restricted", "single-numa-node"] = Field(
        default="best-effort",
        description="NUMA nodes without memory, or with too few CPUs or too little memory: "
        "best-effort leaves them out, restricted refuses them, single-numa-node refuses instances "
        "on several nodes too; none leaves them out and binds neither CPUs nor memory.",
    )
    unit: Literal["numa-node", "socket"] = Field(
        default="numa-node",
        description="What an instance lies on: one NUMA node (numa-node), or all of a socket "
        "(socket), some of whose memory is then farther away.",
    )
    instances_per_node: int = Field(
        default=1,
        ge=1,
        le=HIGHEST_ID,
        description="Instances on each NUMA node; on each socket where unit is socket.",
    )
    cores_per_instance: int | None = Field(
        default=None,
        ge=1,
        le=HIGHEST_ID,
        description="Cores of each instance; null: the node's usable cores divided evenly.",
    )
    cpu_sharing: Literal["refused", "allowed"] = Field(
        default="refused",
        description="May instances share cores with each other and with other stacks: "
        "refused, or allowed (for development machines).",
    )
    exclude_nodes: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], FromList, AfterValidator(_distinct)
    ] = Field(default=(), description="NUMA nodes that get no instance, by id.")
    reserved_cpus: LinuxList = Field(
        default=CpuSet(),
        description="CPUs that no instance gets, as a Linux list such as '0-1,8'; whole cores.",
    )
    reserved_cores: int = Field(
        default=0,
        ge=0,
        le=HIGHEST_ID,
        description="Instead of a list, how many cores of each host no instance gets: evenly from "
        "its NUMA nodes, their lowest first.",
    )
    reserved_memory_mib: int = Field(
        default=1024,
        ge=0,
        description="Memory of each NUMA node that is left to the operating system, in MiB, where "
        "the instances' memory is checked against the node's.",
    )
    isolated_cpus: Literal["avoid", "use"] = Field(
        default="avoid",
        description="CPUs that the kernel isolates (isolcpus): no instance gets them (avoid), or "
        "like any other (use).",
    )
    smt: Literal["one-per-core", "siblings"] = Field(
        default="one-per-core",
        description="CPUs an instance gets of its cores: one-per-core, or all siblings.",
    )
    cpu_binding: Literal["node", "host", "none"] = Field(
        default="node",
        description="CPUs of an instance: its own cores (node); to measure against, "
        "all usable CPUs of the host (host) or no CPU set (none).",
    )
    memory_binding: Literal["bind", "none"] = Field(
        default="bind",
        description="Memory of an instance: only its node's (bind), or any (none).",
    )

    min_local_share: float = Field(
        default=MIN_LOCAL_SHARE,
        ge=0,
        le=1,
        description="Least share of an instance's anonymous memory that lies on the NUMA nodes it "
        "is bound to, 0 to 1, measured before it serves; 0: measured, and not required.",
    )

    @property
    def cpus_bound_to(self) -> str:
        """What the CPU set of an instance is taken from; policy none takes the default away."""
        unbound = self.policy == "none" and self.cpu_binding == "node"
        return "none" if unbound else self.cpu_binding

    @property
    def binds_memory(self) -> bool:
        """Whether an instance may take memory only from its own NUMA nodes."""
        return self.policy != "none" and self.memory_binding == "bind"

    @property
    def refuses_misfits(self) -> bool:
        """Whether a NUMA node that does not fit is an error."""
        return self.policy in ("restricted", "single-numa-node")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A policy that asks for alignment needs what aligns, and none needs its absence."""
        if self.reserved_cpus and self.reserved_cores:
            yield (
                "reserved-cores",
                f"{self.reserved_cores} cores and the list {self.reserved_cpus} of reserved-cpus "
                "both say what is reserved; leave one of them out",
            )
        if self.policy == "none":
            yield from self._bound_without_policy()
        if self.refuses_misfits and self.cpu_binding != "node":
            yield (
                "cpu-binding",
                f"{self.cpu_binding} keeps no instance on its NUMA node, and policy "
                f"{self.policy} demands that; write node, or policy: best-effort",
            )
        if self.policy == "single-numa-node" and self.memory_binding == "none":
            yield (
                "memory-binding",
                "none lets instances take memory from any NUMA node, and policy single-numa-node "
                "demands one; write bind, or policy: restricted",
            )

    def _bound_without_policy(self) -> Iterator[tuple[str, str]]:
        written: dict[str, tuple[str, str]] = {
            "cpu-binding": (self.cpu_binding, "node"),
            "memory-binding": (self.memory_binding, "bind"),
        }
        for key, (value, bound) in written.items():
            if value == bound and key.replace("-", "_") in self.model_fields_set:
                yield (
                    key,
                    f"{value} binds instances, and policy none binds nothing; leave {key} out, or "
                    "write policy: best-effort",
                )
