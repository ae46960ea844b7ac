"""What the other stacks on a host have: the CPUs, ports and networks of their containers."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network

import docker
from docker.models.containers import Container

from planner.claims import Claim
from planner.cpuset import CpuSet
from planner.labels import INSTANCE, PROJECT, ROLE, STACK


def read_claims(
    client: docker.DockerClient, host: str, own: Mapping[str, str]
) -> tuple[Claim, ...]:
    """
    Read what other stacks have of a host.

    Args:
        client: the host's Docker engine.
        host: its name in the settings.
        own: the labels of the stack that asks; its own containers claim nothing.
    """
    containers = client.containers.list(
        all=True, ignore_removed=True, filters={"label": [PROJECT, STACK, ROLE]}
    )
    stacks: dict[tuple[str, str], list[Container]] = {}
    for container in containers:
        whose = (container.labels[PROJECT], container.labels[STACK])
        if whose != (own[PROJECT], own[STACK]):
            stacks.setdefault(whose, []).append(container)
    subnets = _subnets(client)
    return tuple(
        Claim(
            host=host,
            project=project,
            stack=stack,
            cpus=_cpus(its),
            ports=frozenset(port for container in its for port in _ports(container)),
            subnet=subnets.get((project, stack)),
        )
        for (project, stack), its in sorted(stacks.items())
    )


def _cpus(containers: Iterable[Container]) -> CpuSet:
    lists = (
        container.attrs["HostConfig"]["CpusetCpus"]
        for container in containers
        if INSTANCE in container.labels
    )
    return CpuSet.of(cpu for cpus in lists if cpus for cpu in CpuSet.parse(cpus))


def _ports(container: Container) -> Iterable[tuple[str, int]]:
    for bindings in (container.attrs["HostConfig"]["PortBindings"] or {}).values():
        for binding in bindings or ():
            yield binding["HostIp"] or "0.0.0.0", int(binding["HostPort"])  # noqa: S104


def _subnets(client: docker.DockerClient) -> dict[tuple[str, str], IPv4Network]:
    """Return the network that each stack's instances have their addresses in."""
    subnets = {}
    for network in client.networks.list(filters={"label": [PROJECT, STACK, ROLE]}):
        labels = network.attrs["Labels"]
        pools = network.attrs["IPAM"]["Config"]
        if labels[ROLE] == "instances" and pools:
            subnets[labels[PROJECT], labels[STACK]] = IPv4Network(pools[0]["Subnet"])
    return subnets
