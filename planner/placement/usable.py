"""Which cores instances may get, which are kept from them, and which units get none."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from planner.cpuset import CpuSet
from planner.errors import PlacementError
from planner.placement.units import Unit
from planner.settings import PlacementSettings
from planner.topology import Core, HostTopology, NumaNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """
    A host as instances may use it.

    Attributes:
        host: the host.
        reserved: CPUs that no instance gets, for the operating system and the balancer.
        avoided: CPUs that no instance gets because the kernel isolates them.
    """

    host: HostTopology
    reserved: CpuSet
    avoided: CpuSet

    def cores(self, cpus: CpuSet) -> tuple[Core, ...]:
        """
        List the cores among *cpus* that instances may get, by lowest CPU.

        A core counts only if containers may use every online CPU of it: half a core would leave
        its other half to someone else.
        """
        usable = (cpus & self.host.allowed_cpus) - self.reserved - self.avoided
        return tuple(core for core in self.host.cores if core.cpus <= usable)


def usable_host(name: str, host: HostTopology, rules: PlacementSettings) -> Usable:
    """
    Tell what of *host* instances may use.

    Raises:
        PlacementError: fewer cores are there than are to be reserved.
    """
    avoided = host.isolated if rules.isolated_cpus == "avoid" else CpuSet()
    reserved = rules.reserved_cpus
    if rules.reserved_cores:
        reserved = _count_out(name, host, rules)
    return Usable(host=host, reserved=reserved, avoided=avoided)


def all_cpus(cores: Iterable[Core]) -> CpuSet:
    """Join the CPUs of *cores*."""
    return CpuSet.of(cpu for core in cores for cpu in core.cpus)


def pick_cpus(cores: Iterable[Core], smt: str) -> CpuSet:
    """Choose the CPUs of *cores* that an instance runs on: one of each core, or all siblings."""
    if smt == "siblings":
        return all_cpus(cores)
    return CpuSet.of(core.cpus.first for core in cores)


def why_unplaced(unit: Unit, usable: Usable, rules: PlacementSettings) -> str | None:
    """Say why *unit* gets no instance whatever its size; None if it may get some."""
    host = usable.host
    if not unit.ids - CpuSet.of(rules.exclude_nodes):
        return "left out by placement.exclude-nodes"
    if not any(node.memory_bytes for node in unit.nodes):
        return "has no memory"
    if not unit.cpus:
        return "has no CPUs"
    if not unit.memory(host):
        return (
            "its memory is not allowed to containers "
            f"(the Docker daemon allows memory nodes {host.allowed_memory_nodes or 'none'})"
        )
    if not usable.cores(unit.cpus):
        return _no_core(unit, usable, rules)
    return None


def _no_core(unit: Unit, usable: Usable, rules: PlacementSettings) -> str:
    key = "reserved-cores" if rules.reserved_cores else "reserved-cpus"
    isolated = unit.cpus & usable.avoided
    return (
        f"has no usable core: of its CPUs {unit.cpus} "
        f"the Docker daemon allows {unit.cpus & usable.host.allowed_cpus or 'none'}, and "
        f"placement.{key} takes {unit.cpus & usable.reserved or 'none'}"
        + (f"; the kernel isolates {isolated}" if isolated else "")
    )


def _count_out(name: str, host: HostTopology, rules: PlacementSettings) -> CpuSet:
    """
    Choose the cores that are reserved by their count.

    From each node that may get instances one after another, in order of id, its lowest core that
    is not isolated: what runs there is scheduled by the kernel.
    """
    free = Usable(host=host, reserved=CpuSet(), avoided=host.isolated)
    by_node = [free.cores(node.cpus) for node in _with_memory(host, rules)]
    in_turn = [core for cores in zip_longest(*by_node) for core in cores if core is not None]
    others = rules.isolated_cpus == "use" and bool(host.isolated)
    if rules.reserved_cores > len(in_turn) - (not others):
        raise PlacementError(
            f"placement.reserved-cores: {rules.reserved_cores} of host {name} leaves no core for "
            f"instances: {len(in_turn)} could be reserved ({all_cpus(in_turn) or 'no CPU'}). "
            "Lower it, or name CPUs with placement.reserved-cpus."
        )
    return all_cpus(in_turn[: rules.reserved_cores])


def _with_memory(host: HostTopology, rules: PlacementSettings) -> Iterator[NumaNode]:
    for node in host.nodes:
        usable = node.memory_bytes and node.id in host.allowed_memory_nodes
        if usable and node.id not in rules.exclude_nodes:
            yield node
