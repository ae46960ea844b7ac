"""What a stack has on its hosts, as the operator's commands find it: by labels, not by settings."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

from docker.models.containers import Container

from lifecycle import balancer_config, docker_host, member
from lifecycle.docker_failure import speaking_with
from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.member import host_of, members
from lifecycle.observe import addresses, planned
from lifecycle.proof import Proof
from lifecycle.proof import read as read_proof
from lifecycle.reach import Link, reach
from lifecycle.spec import BalancerRef
from lifecycle.stack_file import StackFile
from planner.labels import CPUS, INSTANCE, MEMORY_NODES, ROLE
from planner.nginx import LISTEN_PORT

BALANCER = "balancer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    A stack's containers on all hosts, and the files of its balancer's current configuration.

    Attributes:
        stack: whose.
        links: to the host of each instance and of the balancer, by its name.
        instances: by name, in the order of host, NUMA node and ordinal.
        balancer: none where it is gone, or its host is not reached.
        files: content by path; empty where there is no balancer.
        unreached: the hosts that are not reached, by name, with the reason.
    """

    stack: StackFile
    links: Mapping[str, Link]
    instances: Mapping[str, Container]
    balancer: Container | None
    files: Mapping[str, bytes]
    unreached: Mapping[str, UnreachableError]

    def is_open(self, name: str) -> bool:
        """Tell whether the instance *name* runs and the balancer sends it requests."""
        runs = name in self.instances and self.instances[name].status == "running"
        return runs and member.gets_requests(self.files, name)

    def open_instances(self) -> list[str]:
        """Return the names of the instances that get requests, of hosts that are reached."""
        return [name for name in self.instances if self.is_open(name)]

    def known(self) -> list[str]:
        """Return the instances that are there, or on a host not reached and in the balancer."""
        return [
            *self.instances,
            *sorted(name for name in members(self.files) if host_of(name) in self.unreached),
        ]

    def containers(self) -> dict[str, Container]:
        """Return the instances by name, and the balancer as the last where there is one."""
        last = {BALANCER: self.balancer} if self.balancer is not None else {}
        return {**self.instances, **last}


def find_stack(stack: StackFile) -> Found:
    """
    Look for the containers of *stack* on all its hosts.

    Raises:
        LifecycleError: none of the hosts is reached, one refuses, or they have nothing of the
            stack.
    """
    with ThreadPoolExecutor(len(stack.hosts)) as pool:
        looked = dict(zip(stack.hosts, pool.map(_look(stack), stack.hosts), strict=True))
    unreached = {name: one for name, one in looked.items() if isinstance(one, UnreachableError)}
    reached = [one for one in looked.values() if not isinstance(one, UnreachableError)]
    if not reached:
        raise next(iter(unreached.values()))
    found = [one for _, containers in reached for one in containers]
    if not found and not unreached:
        urls = " or ".join(where.docker for where in stack.hosts.values())
        raise LifecycleError(
            subject=stack.name,
            step="looking for its containers",
            seen=f"the stack has none at {urls}",
            remedy=f"bring it up with `make up STACK={stack.name}`; if it runs elsewhere, correct "
            "`docker` of the host in the stack's settings",
        )
    balancer = next((one for one in found if one.labels[ROLE] == BALANCER), None)
    instances = {one.labels[INSTANCE]: one for one in found if INSTANCE in one.labels}
    return Found(
        stack=stack,
        links={one.labels[ROLE]: link for link, containers in reached for one in containers},
        instances={name: instances[name] for name in sorted(instances, key=_by_numbers)},
        balancer=balancer,
        files=balancer_config.read_all(balancer) if balancer else {},
        unreached=unreached,
    )


_OnHost = tuple[Link, list[Container]]


def _look(stack: StackFile) -> Callable[[str], _OnHost | UnreachableError]:
    own = [f"{key}={value}" for key, value in stack.labels.items()]

    def look(host: str) -> _OnHost | UnreachableError:
        where = stack.hosts[host]
        try:
            # A silent engine is given up sooner than what a command may take.
            reach(where, timeout_s=10)
            link = reach(where)
            with speaking_with(where.docker, step="looking for its containers", again="this"):
                # A container inherits the labels of its image, whoever made it; a role only the
                # stack gives.
                return link, link.client.containers.list(
                    all=True, ignore_removed=True, filters={"label": [*own, ROLE]}
                )
        except UnreachableError as error:
            return error

    return look


def _by_numbers(name: str) -> list[tuple[int, str]]:
    """Order the tenth of a node behind its second."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def port_of(container: Container) -> int:
    """Return the port that the server in *container* listens on, as its command line says."""
    if container.labels[ROLE] == BALANCER:
        return LISTEN_PORT
    command: list[str] = container.attrs["Config"]["Cmd"]
    return next(int(value) for flag, value in pairwise(command) if flag == "--rest_port")


def address_of(container: Container) -> str:
    """
    Return the address of *container* among the instances.

    Raises:
        LifecycleError: it has none.
    """
    if found := addresses(container):
        return found[0]
    raise LifecycleError(
        subject=str(container.name),
        step="looking for its address",
        seen="is cut off from the instances' network",
        remedy=f"remove it with `docker rm -f {container.name}`, then run "
        "`make up`, which makes it again",
    )


def reached_at(container: Container) -> str:
    """
    Return the address at which the instance in *container* answers the balancer.

    Raises:
        LifecycleError: it has none.
    """
    bindings = container.attrs["HostConfig"].get("PortBindings") or {}
    published = bindings.get(f"{port_of(container)}/tcp")
    return str(published[0]["HostIp"]) if published else address_of(container)


def placement(container: Container, min_local_share: float) -> tuple[Proof | None, tuple[str, ...]]:
    """
    Read where the server in *container* runs, and compare that with what was planned.

    Args:
        container: of an instance or the balancer.
        min_local_share: the least share of its memory that is to lie where it is bound.

    Returns:
        The proof, none where nothing can be read; and what is wrong, as ends of a sentence that
        begins with the instance's name.
    """
    try:
        measure = container.labels[ROLE] != BALANCER
        proof = read_proof(container, port_of(container), measure=measure)
    except docker_host.CommandError as error:
        return None, (f"does not show where it runs: {error}",)
    nodes = planned(container, MEMORY_NODES)
    if moved := proof.faults(planned(container, CPUS), nodes):
        return proof, (f"was re-pinned: {'; '.join(moved)}",)
    strayed = proof.memory_faults(nodes, min_local_share)
    return proof, tuple(f"has memory elsewhere: {fault}" for fault in strayed)


def reference(found: Found) -> BalancerRef:
    """
    Tell how the balancer's configuration is changed.

    Raises:
        LifecycleError: there is no balancer, or its host is not reached.
    """
    if error := found.unreached.get(found.stack.settings.balancer_host):
        raise error
    if found.balancer is None:
        raise LifecycleError(
            subject=found.stack.name,
            step="looking for its balancer",
            seen="it is gone",
            remedy=f"run `make up STACK={found.stack.name}`, which makes it again; then run this "
            "again",
        )
    return BalancerRef(
        container=str(found.balancer.name),
        volume=next(
            mount["Name"]
            for mount in found.balancer.attrs["Mounts"]
            if mount["Destination"] == balancer_config.DIRECTORY
        ),
        address=address_of(found.balancer),
        keepalive_min_s=found.stack.settings.balancer.keepalive_min_timeout_s,
    )
