"""
What became of a stack on its host, read only.

The engine compares settings with its state; what happened to the containers since, it does not
see. This does: it finds what is gone, and what runs otherwise than it was activated. What it
compares with stands on the containers themselves, as labels, so that a change of the settings
is no drift.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import docker
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container

from lifecycle import balancer_config, docker_host, member
from lifecycle.claims import read_claims
from lifecycle.disk import shortage
from lifecycle.docker_failure import speaking_with
from lifecycle.errors import LifecycleError
from lifecycle.memory_room import LINES, memory_in, memory_patterns
from lifecycle.ports import LISTENING, SOCKETS, listening_in, published_by
from lifecycle.proof import FIELD, Proof, parse_statuses
from lifecycle.reach import Link, Where, reach
from lifecycle.supported import refuse_unsupported
from planner.claims import Claim
from planner.free_memory import HostMemory
from planner.labels import ANY, CPUS, INCARNATION, INSTANCE, MEMORY_NODES, ROLE
from planner.topology import HostTopology


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    A stack's things on a host.

    Attributes:
        incarnations: of what is there, by the role it has in the stack.
        faults: what is wrong with an instance or with `balancer`, as the end of a sentence that
            begins with its name.
        gone: what was there and is not any more, as whole sentences.
        instances: all that are there.
        serving: the instances that run.
        missing_images: those of the images asked for that the host does not have.
        claims: what other stacks have of the host.
        cordoned: the instances that an operator holds closed; that is no fault.
        files: of the balancer's current configuration; None: it is not on this host.
        addresses: what the instances are called that have an address, by that address.
        published: addresses and ports of the host that the stack's containers have now.
        listening: addresses and ports of the host that some program has.
        memory: what is left of each NUMA node's, and what the instances have of it.
        warnings: what an update may fail on, with what to do, as whole sentences.
        topology: the host as it is; None where that is not asked for.
    """

    incarnations: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    instances: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()
    missing_images: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    cordoned: frozenset[str] = frozenset()
    files: Mapping[str, bytes] | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    published: frozenset[tuple[str, int]] = frozenset()
    listening: frozenset[tuple[str, int]] = frozenset()
    memory: HostMemory = field(default_factory=HostMemory)
    warnings: tuple[str, ...] = ()
    topology: HostTopology | None = None

    def drift(self) -> tuple[str, ...]:
        """Return all that was seen to be otherwise than it was made, a sentence each."""
        faults = (f"{name} {fault}" for name, fault in sorted(self.faults.items()))
        return (*self.gone, *faults)


def observe(
    host: str,
    where: Where,
    labels: Mapping[str, str],
    names: Iterable[str],
    images: Iterable[str],
) -> Observation:
    """
    Look at a stack on one host, without what its balancer has been told of the instances.

    Args:
        host: the host's name in the settings.
        where: the host.
        labels: that everything of the stack carries.
        names: the container names that the stack is going to use.
        images: the references that the stack uses.

    Raises:
        UnreachableError: nothing answers for another machine, or not any more.
        RefusedError: what answers is not known to be it, or does not let this user in.
        LifecycleError: no Docker engine answers here, it is of a kind that is not supported, it
            fails meanwhile, or a container of one of *names* is not the stack's.
    """
    link = reach(where, timeout_s=10)
    with speaking_with(where.docker, step="looking at the host", again="this"):
        info = link.client.info()
        refuse_unsupported(info, where.docker)
        observation = _observe(link, host, labels, names, images)
    if (little := shortage(link, info)) is None:
        return observation
    warning = f"{host}: {little}, and an update may fail for want of it; `docker system df` says "
    warning += "what takes it."
    return replace(observation, warnings=(warning,))


def _observe(
    link: Link,
    host: str,
    labels: Mapping[str, str],
    names: Iterable[str],
    images: Iterable[str],
) -> Observation:
    client = link.client
    own = [f"{key}={value}" for key, value in labels.items()]
    # A container inherits the labels of its image, whoever made it; a role only the stack gives.
    containers = client.containers.list(
        all=True, ignore_removed=True, filters={"label": [*own, ROLE]}
    )
    _refuse_foreign(client, set(names) - {container.name for container in containers})
    balancer = next((one for one in containers if one.labels.get(ROLE) == "balancer"), None)
    files = balancer_config.read_all(balancer) if balancer else None
    instances = {one.labels[INSTANCE]: one for one in containers if INSTANCE in one.labels}
    processes = {
        name: _processes(one) for name, one in instances.items() if one.status == "running"
    }
    tasks = [f"proc/{pid}/task/*/status" for pids in processes.values() for pid in pids]
    # All in one reading, since each is a round trip to the host.
    proc = link.read_files(
        [*SOCKETS, *tasks, *memory_patterns(instances)], containing=(FIELD, LISTENING, *LINES)
    )
    found = {name: _placement(instances[name], proc, pids) for name, pids in processes.items()}
    faults = {name: _instance_fault(one, found.get(name)) for name, one in instances.items()}
    faults["balancer"] = _balancer_fault(balancer, files) if balancer else None
    missing = frozenset(image for image in images if not _has_image(client, image))
    # Connecting it again by hand would not give it its address: it is made again, as one that
    # is gone.
    cut_off = {name for name, one in instances.items() if not addresses(one)}
    incarnations = _incarnations(client, containers, own)
    running = {name for name, one in instances.items() if one.status == "running"}
    return Observation(
        incarnations={role: word for role, word in incarnations.items() if role not in cut_off},
        faults={name: fault for name, fault in faults.items() if fault},
        gone=tuple(sorted(_gone(containers, missing))),
        instances=frozenset(instances),
        serving=frozenset(running - cut_off),
        missing_images=missing,
        claims=read_claims(client, host, labels),
        cordoned=cordoned_in(files or {}),
        files=files,
        addresses={address: name for name, one in instances.items() for address in addresses(one)},
        published=frozenset(port for one in containers for port in published_by(one)),
        listening=listening_in(proc),
        memory=memory_in(proc, instances),
    )


def _incarnations(
    client: docker.DockerClient, containers: Iterable[Container], own: list[str]
) -> dict[str, str]:
    """Return the incarnation of all that carries the labels *own*, by its role."""
    labelled: list[Mapping[str, str]] = [
        *(one.labels for one in containers),
        *(one.attrs["Labels"] or {} for one in client.volumes.list(filters={"label": own})),
        *(one.attrs["Labels"] or {} for one in client.networks.list(filters={"label": own})),
    ]
    return {its[ROLE]: its[INCARNATION] for its in labelled if ROLE in its}


def addresses(container: Container) -> tuple[str, ...]:
    """Return the addresses that were given to *container*: one, unless it was cut off by hand."""
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    given = ((network["IPAMConfig"] or {}).get("IPv4Address") for network in networks)
    return tuple(str(address) for address in given if address)


def planned(container: Container, label: str) -> str | None:
    """Return the Linux list that *container* was activated with; none: it is not bound."""
    value = container.labels.get(label, ANY)
    return None if value == ANY else value


def cordoned_in(files: Mapping[str, bytes]) -> frozenset[str]:
    """Return the instances that have a cordon's mark among the balancer's *files*."""
    names = {path: PurePosixPath(path).name for path in files}
    return frozenset(name for path, name in names.items() if path == member.cordon_path(name))


def _gone(containers: Iterable[Container], images: frozenset[str]) -> Iterator[str]:
    """Say which *images* are missing, though the containers that were made from them are there."""
    used = {one.attrs["Config"]["Image"] for one in containers}
    yield from (f"the image {image} is gone" for image in images & used)


def _has_image(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _refuse_foreign(client: docker.DockerClient, names: Iterable[str]) -> None:
    for name in sorted(names):
        if docker_host.find(client, name) is not None:
            raise LifecycleError(
                subject=name,
                step="looking at the host",
                seen="a container of this name is there, and this stack did not make it",
                remedy=f"remove it with `docker rm -f {name}`, or give it another name with "
                f"`docker rename {name} NAME`; then run this again",
            )


def _instance_fault(container: Container, found: Proof | None) -> str | None:
    if not addresses(container):
        return "is cut off from the instances' network"
    if container.status != "running":
        return f"is {container.status}, not running"
    policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
    if policy != "unless-stopped":
        return f"has the restart policy {policy!r} instead of 'unless-stopped'"
    if found is None or not found.tasks:
        return "shows no task, neither in the /proc of its host nor in its own: it just ended"
    if moved := found.faults(planned(container, CPUS), planned(container, MEMORY_NODES)):
        return f"was re-pinned: {'; '.join(moved)}"
    return None


def _balancer_fault(container: Container, files: Mapping[str, bytes] | None) -> str | None:
    if container.status != "running":
        return f"is {container.status}, not running"
    return member.configuration_fault(files or {})


def _placement(container: Container, proc: Mapping[str, str], pids: Collection[str]) -> Proof:
    """
    Read where all tasks of *container* may run.

    That is in files of the host's /proc, of the processes *pids*. Its own shows it where the
    host's does not: only the Docker engine is reached, or /proc hides processes of others there
    (`hidepid`).
    """
    found = parse_statuses(
        "".join(text for path, text in proc.items() if path.split("/")[1] in pids)
    )
    return found if found.tasks else _placement_inside(container)


def _placement_inside(container: Container) -> Proof:
    program = "cat /proc/[0-9]*/task/*/status 2>/dev/null || true"
    try:
        return parse_statuses(docker_host.run(container, "sh", "-c", program))
    except docker_host.CommandError:
        return parse_statuses("")  # it exited meanwhile


def _processes(container: Container) -> list[str]:
    try:
        return [row[0] for row in container.top(ps_args="-o pid")["Processes"]]
    except APIError:
        return []  # it exited meanwhile
