"""A stack as it runs now: placement and proof, time, requests, and what is wrong, in words."""

import http.client
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote

from docker.models.containers import Container

from lifecycle import balancer_config, docker_host, pages, proof
from lifecycle.errors import LifecycleError, UnreachableError
from lifecycle.found import (
    BALANCER,
    Found,
    address_of,
    find_stack,
    placement,
    port_of,
    reached_at,
    reference,
)
from lifecycle.member import host_of, unwell_path
from lifecycle.observe import Observation, planned
from lifecycle.observe_hosts import Expected, observe_hosts
from lifecycle.proof import Proof
from lifecycle.reach import Link
from lifecycle.stack_file import StackFile
from planner.labels import ANY, CPUS, MEMORY_NODES
from planner.nginx import LISTEN_PORT
from planner.table import aligned

_AT_A_TIME = 16
_READY_WITHIN_S = 5
_NONE = "-"
_HEADINGS = (
    "instance", "NUMA node", "CPUs planned", "found", "memory planned", "found", "local",
    "up since (UTC)", "restarts", "connections", "state", "image",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    An instance, or the balancer.

    Attributes:
        name: of the instance, or `balancer`.
        cells: what the table shows of it, without its name, in the order of the headings.
        is_open: whether it runs and gets requests.
        faults: what is wrong with it, as ends of a sentence that begins with its name.
    """

    name: str
    cells: tuple[str, ...]
    is_open: bool
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    A stack as it was seen.

    Attributes:
        endpoint: the URL that the balancer answers at; none where there is no balancer.
        lines: the instances in their order, and the balancer as the last where there is one.
        cordoned: the instances that an operator holds closed, also those that are gone.
        gone: what was there and is not any more, as whole sentences.
        unreached: why a host was not looked at, by its name.
    """

    endpoint: str | None
    lines: tuple[Line, ...]
    cordoned: frozenset[str]
    gone: tuple[str, ...]
    unreached: Mapping[str, UnreachableError]

    @property
    def serving(self) -> tuple[str, ...]:
        """The instances that are open and have nothing wrong."""
        return tuple(line.name for line in self._instances() if line.is_open and not line.faults)

    @property
    def is_well(self) -> bool:
        """Whether all serve but those that an operator holds closed, and at least one does."""
        wrong = self.unreached or self.gone or any(line.faults for line in self.lines)
        waiting = {line.name for line in self._instances()} - {*self.serving, *self.cordoned}
        return bool(self.serving) and not wrong and not waiting

    def render(self) -> str:
        """Show the table, what is wrong, what is cordoned, and how many serve."""
        rows = [_HEADINGS, *((line.name, *line.cells) for line in self.lines)]
        wrong = [
            *self.gone,
            *(f"{line.name} {fault}" for line in self.lines for fault in line.faults),
        ]
        return "\n".join(
            [
                *aligned(rows),
                "",
                *(f"wrong: {sentence}" for sentence in wrong),
                *(f"not looked at: {name}: {its}" for name, its in self.unreached.items()),
                *(f"cordoned: {self._cordon(name)}" for name in sorted(self.cordoned)),
                self._total(),
            ]
        )

    def _instances(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.name != BALANCER)

    def _cordon(self, name: str) -> str:
        line = next((line for line in self.lines if line.name == name), None)
        if line is None and host_of(name) in self.unreached:
            return name
        if line is None:
            return f"{name}, which is not there; `make uncordon INSTANCE={name}` forgets it"
        return f"{name}, yet it is open; cordon it again" if line.is_open else name

    def _total(self) -> str:
        count, total = len(self.serving), len(self._instances())
        where = f" at {self.endpoint}" if self.endpoint else ""
        return f"{count} of {total} instances {'serves' if count == 1 else 'serve'}{where}"


def look(stack: StackFile) -> Status:
    """
    Look at *stack* on its hosts; changes nothing.

    Raises:
        LifecycleError: no host is reached, or they have nothing of the stack.
    """
    found = find_stack(stack)
    seen, unreached = _observed(found)
    containers = found.containers()
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        lines = tuple(pool.map(lambda name: _line(found, seen, name, containers[name]), containers))
    return Status(
        endpoint=_endpoint(found.balancer),
        lines=lines,
        cordoned=seen.cordoned,
        gone=seen.gone,
        unreached=unreached,
    )


def _observed(found: Found) -> tuple[Observation, dict[str, UnreachableError]]:
    """Return what was seen on all hosts, as one; and those that were not reached."""
    stack, unreached = found.stack, dict(found.unreached)
    expected = {
        name: Expected(where=where) for name, where in stack.hosts.items() if name not in unreached
    }
    faults: dict[str, str] = {}
    cordoned: frozenset[str] = frozenset()
    gone: tuple[str, ...] = ()
    looked = observe_hosts(expected, stack.labels, balancer_host=stack.settings.balancer_host)
    for name, seen in looked.items():
        if isinstance(seen, UnreachableError):
            unreached[name] = seen
            continue
        faults |= seen.faults
        cordoned |= seen.cordoned
        gone += seen.gone
    return Observation(faults=faults, cordoned=cordoned, gone=gone), unreached


def _line(found: Found, seen: Observation, name: str, container: Container) -> Line:
    runs = container.status == "running"
    least = found.stack.settings.placement.min_local_share
    where, misplaced = placement(container, least) if runs else (None, ())
    known = (seen.faults[name],) if name in seen.faults else ()
    unanswered = tuple(_unanswered(found, name, container) if runs else ())
    # Why the watcher closed it may be over, and something else keep it closed.
    more = unanswered if unwell_path(name) in found.files else ()
    faults = (*known, *more) or misplaced or unanswered
    is_open = runs if name == BALANCER else found.is_open(name)
    state = container.attrs["State"]
    return Line(
        name=name,
        cells=(
            _node_of(name),
            _planned(container, CPUS, "CpusetCpus"),
            where.all_cpus if where else _NONE,
            _planned(container, MEMORY_NODES, "CpusetMems"),
            " and ".join(where.memory_nodes) if where else _NONE,
            _local(name, container, where),
            state["StartedAt"][:19].replace("T", " ") if runs else _NONE,
            str(container.attrs["RestartCount"]),
            _connections(container) if runs else _NONE,
            _state(name, container.status, is_open=is_open, is_cordoned=name in seen.cordoned),
            container.attrs["Config"]["Image"],
        ),
        is_open=is_open,
        faults=faults,
    )


def _state(name: str, status: str, *, is_open: bool, is_cordoned: bool) -> str:
    if name == BALANCER or status != "running":
        return f"{status}, cordoned" if is_cordoned else status
    if is_open:
        return "open"
    return "cordoned" if is_cordoned else "closed"


def _node_of(name: str) -> str:
    """Return the NUMA node in an instance's name, HOST-nodeN-ORDINAL; or its socket, in words."""
    if name == BALANCER:
        return _NONE
    unit = name.rsplit("-", 2)[1]
    return unit.removeprefix("node").replace("socket", "socket ")


def _planned(container: Container, label: str, setting: str) -> str:
    """Return what an instance was activated with; for the balancer, what Docker was told."""
    return planned(container, label) or container.attrs["HostConfig"][setting] or ANY


def _local(name: str, container: Container, where: Proof | None) -> str:
    """Return how much of an instance's anonymous memory is local; the balancer has no node."""
    if name == BALANCER or where is None:
        return _NONE
    share = pages.home_share(where.pages, name, planned(container, MEMORY_NODES))
    return _NONE if share is None else pages.in_percent(share)


def _connections(container: Container) -> str:
    try:
        return str(proof.connections(container, port_of(container)))
    except docker_host.CommandError:
        return _NONE


def _unanswered(found: Found, name: str, container: Container) -> Iterator[str]:
    """Say what does not answer: of an instance, which models; of the balancer, it."""
    if name == BALANCER:
        if balancer_config.loaded_generation(found.links[name], reference(found)) is None:
            yield f"does not answer at {address_of(container)}:{LISTEN_PORT}"
        return
    try:
        address = reached_at(container)
    except LifecycleError as error:
        yield error.seen
        return
    for model in found.stack.settings.models.names:
        seen = _ready(found.links[name], container, address, model)
        if seen != "200":
            yield f"is not ready with the model {model!r}: it answers {seen}"


def _ready(link: Link, container: Container, address: str, model: str) -> str:
    """Ask whether *model* is loaded; return the status, or why there is none."""
    name, port = str(container.name), port_of(container)
    connection = link.http(address, port, _READY_WITHIN_S, inside=name)
    try:
        connection.request("GET", f"/v2/models/{quote(model, safe='')}/ready")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return f"nothing ({error or type(error).__name__})"
    finally:
        connection.close()


def _endpoint(balancer: Container | None) -> str | None:
    if balancer is None:
        return None
    (published,) = balancer.attrs["HostConfig"]["PortBindings"][f"{LISTEN_PORT}/tcp"]
    return f"http://{published['HostIp']}:{published['HostPort']}"
