"""
Bring an instance into service: bind, start, wait until it generates, prove, open.

Idempotent: an instance that serves as planned is left alone, and one of which only the weight
differs gets a new member file and nothing else.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from docker.errors import APIError, DockerException
from docker.models.containers import Container
from requests.exceptions import RequestException

from lifecycle import balancer_config, docker_host, drain, member, pages, proof, readiness
from lifecycle.errors import LifecycleError
from lifecycle.reach import Link, reach
from lifecycle.spec import Activation

Progress = Callable[[str], None]

_INTERRUPTED_STOP_S = 2
_LISTS_REMEDY = (
    "find what changed the CPU set between start and proof (`docker events`; a tool that "
    "re-pins containers), then run `pulumi up` again"
)
_MEMORY_REMEDY = (
    "see what places its memory elsewhere (`docker events`; a tool that re-pins containers; a NUMA "
    "policy of the server's own), or lower `placement.min-local-share` (0 requires nothing), then "
    "run `pulumi up` again"
)

# The SDK's stubs know only two of Docker's four policies.
_UNLESS_STOPPED: Any = {"Name": "unless-stopped", "MaximumRetryCount": 0}
_NO_RESTART: Any = {"Name": "no", "MaximumRetryCount": 0}


def activate(spec: Activation, progress: Progress) -> dict[str, object]:
    """
    Bring the instance of *spec* into service.

    On failure the instance is left stopped and closed, so that it takes no traffic and the next
    try begins from a known state.

    Returns:
        The proof: the instance, the CPUs and memory nodes of every task of its server, and its
        memory by NUMA node.

    Raises:
        LifecycleError: a step failed or took longer than its bound.
    """
    link = reach(spec.where)
    container = docker_host.find(link.client, spec.container)
    if container is None:
        raise LifecycleError(
            subject=spec.instance,
            step="finding its container",
            seen=f"there is no container {spec.container}",
            remedy=f"run `pulumi up --target-replace` with the URN of the container "
            f"{spec.instance} (`pulumi stack --show-urns`)",
        )
    found = _proof_if_serving(spec, link, container, progress)
    if found is None:
        found = _start_over(spec, link, container, progress)
    else:
        progress("runs as planned")
    _open(spec, drain.balancer_link(spec, link), progress)
    return {
        "instance": spec.instance,
        "cpus": found.all_cpus,
        "memory_nodes": " and ".join(found.memory_nodes),
        **_memory(spec, found),
    }


def _memory(spec: Activation, found: proof.Proof) -> dict[str, object]:
    share = pages.home_share(found.pages, spec.instance, spec.memory_nodes)
    return {
        "local_share": pages.NOT_MEASURED if share is None else pages.rounded(share),
        **({"memory_mib": found.pages.in_mib()} if found.pages else {}),
    }


def _faults(spec: Activation, found: proof.Proof) -> tuple[str, ...]:
    return (
        *found.faults(spec.cpus, spec.memory_nodes),
        *found.memory_faults(spec.memory_nodes, spec.min_local_share),
    )


def _proof_if_serving(
    spec: Activation, link: Link, container: Container, progress: Progress
) -> proof.Proof | None:
    """Return the proof of an instance that runs as planned and generates, else none."""
    policy = container.attrs["HostConfig"]["RestartPolicy"]["Name"]
    if container.status != "running" or policy != _UNLESS_STOPPED["Name"]:
        return None
    try:
        found = proof.read(container, spec.port)
        if faults := _faults(spec, found):
            progress(f"is not placed as planned: {'; '.join(faults)}")
            return None
        readiness.wait_until_it_generates(spec, link, container, progress)
    except (docker_host.CommandError, LifecycleError) as error:
        progress(f"does not serve: {error}")
        return None
    return found


def _start_over(
    spec: Activation, link: Link, container: Container, progress: Progress
) -> proof.Proof:
    drain.close_and_wait(spec, link, progress)
    try:
        if container.status == "paused":
            container.unpause()
        container.stop(timeout=spec.timeouts.stop_s)
        _bind(spec, container, progress)
        started = _start(spec, container, progress)
        readiness.wait_until_it_generates(spec, link, container, progress, started)
        found = _prove(spec, container, progress)
    except BaseException as error:
        # Also when the operator interrupts, who then waits for seconds only: nothing
        # half-started may stay behind. The restart policy stays off, so that Docker starts no
        # unproven instance. A fault of the clean-up must not hide what went wrong.
        patience_s = spec.timeouts.stop_s if isinstance(error, Exception) else _INTERRUPTED_STOP_S
        with suppress(DockerException, RequestException):
            container.stop(timeout=patience_s)
        raise
    container.update(restart_policy=_UNLESS_STOPPED)
    return found


def _bind(spec: Activation, container: Container, progress: Progress) -> None:
    """
    Set the CPU set and the memory nodes, and let a server that exits stay down.

    The restart policy is off until the instance is proven: a server that cannot start is then
    seen to exit once, with its status, instead of being restarted behind the check.
    """
    try:
        container.update(
            cpuset_cpus=spec.cpus,
            cpuset_mems=spec.memory_nodes,
            restart_policy=_NO_RESTART,
        )
    except APIError as error:
        raise LifecycleError(
            subject=spec.instance,
            step="binding it to its CPUs and memory node",
            seen=str(error.explanation),
            remedy="compare the plan (`make plan`) with the CPUs and NUMA nodes that Docker may "
            "use on this host, and correct the `placement` settings",
        ) from None
    progress(f"bound to CPUs {spec.cpus or 'of the host'}, memory {spec.memory_nodes or 'any'}")


def _start(spec: Activation, container: Container, progress: Progress) -> float:
    """Start it, and return when that was, of `time.monotonic`."""
    progress("starting")
    started = time.monotonic()
    try:
        container.start()
    except APIError as error:
        raise LifecycleError(
            subject=spec.instance,
            step="starting its container",
            seen=str(error.explanation),
            remedy="remove what the message names (an address in use: another container on the "
            "instances' network), then run `pulumi up` again: it retries this instance, the "
            "others stay as they are",
        ) from None
    return started


def _prove(spec: Activation, container: Container, progress: Progress) -> proof.Proof:
    step = "proving its placement"
    try:
        found = proof.read(container, spec.port)
    except docker_host.CommandError as error:
        raise LifecycleError(
            subject=spec.instance,
            step=step,
            seen=f"its tasks and pages could not be read: {error}",
            log_lines=docker_host.last_lines(container),
            remedy="the image needs `sh`, `cat` and `ls`: use one that has them; where one did not "
            "end in time, see what holds up the host, then run `pulumi up` again",
        ) from None
    if faults := _faults(spec, found):
        lists_hold = not found.faults(spec.cpus, spec.memory_nodes)
        raise LifecycleError(
            subject=spec.instance,
            step=step,
            seen="; ".join(faults),
            log_lines=docker_host.last_lines(container),
            remedy=_MEMORY_REMEDY if lists_hold else _LISTS_REMEDY,
        )
    progress(
        f"proven: {found.tasks} tasks on CPUs {found.all_cpus}, memory {found.memory_nodes[0]}, "
        f"{_in_words(spec, found)}"
    )
    return found


def _in_words(spec: Activation, found: proof.Proof) -> str:
    if found.pages is None:
        return "its pages not measured: this kernel does not tell them (numa_maps)"
    share = pages.home_share(found.pages, spec.instance, spec.memory_nodes)
    total_mib = sum(found.pages.in_mib()["anonymous"].values())
    if share is None:
        return f"{total_mib} MiB"
    return f"{pages.in_percent(share)} of {total_mib} MiB local"


def _open(spec: Activation, link: Link, progress: Progress) -> None:
    balancer = docker_host.find(link.client, spec.balancer.container)
    files = balancer_config.read_all(balancer) if balancer else {}
    cordoned = member.cordon_path(spec.instance) in files
    path = member.member_path(spec.instance)
    mark = member.unwell_path(spec.instance)
    wanted = spec.member_file(is_open=not cordoned)
    if files.get(path) == wanted and mark not in files:
        balancer_config.wait_until_loaded(link, spec.balancer, files)
    else:
        balancer_config.change(link, spec.balancer, {path: wanted}, remove=(mark,))
    progress("stays closed: it is cordoned" if cordoned else "open")
