"""
Where an instance really runs: the CPUs and memory nodes of every task of its server, and the
NUMA nodes that its memory lies on (`lifecycle.pages`).

Read from ``/proc`` inside the container, of the processes that own the server's port and of those
that they started, because that is what the kernel enforces; ``docker inspect`` only repeats what
was asked for. Fields: proc(5), `Cpus_allowed_list` and `Mems_allowed_list` of
``/proc/PID/task/TID/status``; ``/proc/PID/stat``, whose fourth field is the parent; socket tables:
``/proc/net/tcp`` (state 01 = established, 0A = listening; ports in hexadecimal).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from docker.models.containers import Container

from lifecycle import docker_host, pages
from lifecycle.pages import Pages
from planner.cpuset import CpuSet

_LISTENING, _ESTABLISHED = "0A", "01"
FIELD = "_allowed_list:"
"""What the lines of a task's ``status`` file have that say where it may run."""
_FIELDS = re.compile(rf"^(Cpus|Mems){FIELD}\s*(\S*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    The lists found, over all tasks: one of each when all tasks agree.

    Attributes:
        cpus: the Linux lists of CPUs.
        memory_nodes: the Linux lists of NUMA nodes that memory may be taken from.
        tasks: how many were looked at.
        pages: where the memory lies; None: not measured.
    """

    cpus: tuple[str, ...]
    memory_nodes: tuple[str, ...]
    tasks: int
    pages: Pages | None = None

    @property
    def all_cpus(self) -> str:
        """The CPUs that any task may run on."""
        return str(CpuSet.of(cpu for cpus in self.cpus for cpu in CpuSet.parse(cpus)))

    def faults(self, cpus: str | None, memory_nodes: str | None) -> tuple[str, ...]:
        """
        Return what differs from the lists that were to be, with both lists; none: proven.

        A server may bind a thread of its own to fewer CPUs (OpenVINO does, one a core); some
        task must have all of them and none may have others. Memory nodes must be equal.
        """
        faults = []
        if cpus is not None and not self._within(CpuSet.parse(cpus)):
            faults.append(f"CPUs: planned {cpus}, found {_listed(self.cpus)}")
        if memory_nodes is not None and self.memory_nodes != (memory_nodes,):
            faults.append(
                f"memory nodes: planned {memory_nodes}, found {_listed(self.memory_nodes)}"
            )
        return tuple(faults)

    def memory_faults(self, memory_nodes: str | None, least: float) -> tuple[str, ...]:
        """
        Return what is wrong with where the memory lies; none where that was not measured.

        Args:
            memory_nodes: the Linux list that the server is bound to; None: memory may lie anywhere.
            least: the least share of its anonymous memory that is to lie there, 0 to 1.
        """
        if self.pages is None or memory_nodes is None:
            return ()
        share = self.pages.local_share(CpuSet.parse(memory_nodes))
        if share >= least:
            return ()
        by_node = self.pages.in_mib()["anonymous"]
        where = " and ".join(f"{its} MiB on node {node}" for node, its in by_node.items())
        return (
            f"local share of its memory: planned at least {least:g} on node {memory_nodes}, "
            f"found {pages.rounded(share):g}: {where}",
        )

    def _within(self, planned: CpuSet) -> bool:
        found = [CpuSet.parse(cpus) for cpus in self.cpus]
        return planned in found and all(cpus <= planned for cpus in found)


def _listed(lists: tuple[str, ...]) -> str:
    return " and ".join(lists) or "none"


def read(container: Container, port: int, *, measure: bool = True) -> Proof:
    """
    Read the proof of the server that listens on *port* in *container*, with its pages.

    Args:
        container: that runs.
        port: TCP, inside it.
        measure: whether to read where its memory lies.

    Raises:
        CommandError: no process there owns the port, or ``/proc`` could not be read.
    """
    owners = _owners(container, port)
    if not owners:
        raise docker_host.CommandError(f"no process in the container listens on port {port}")
    pids = _with_children(container, owners)
    children = [pid for pid in pids if pid not in owners]
    statuses = "\n".join(
        # A task that ends between the listing and the `cat` is no fault.
        docker_host.run(container, "sh", "-c", f"cat /proc/{pid}/task/*/status 2>/dev/null || true")
        for pid in pids
    )
    found = parse_statuses(statuses)
    if not found.tasks:
        raise docker_host.CommandError(f"the tasks of process {pids[0]} cannot be read")
    return replace(found, pages=pages.read(container, owners, children)) if measure else found


def parse_statuses(statuses: str) -> Proof:
    """Parse the text of any number of tasks' ``status`` files."""
    fields = _FIELDS.findall(statuses)
    return Proof(
        cpus=tuple(sorted({value for field, value in fields if field == "Cpus"})),
        memory_nodes=tuple(sorted({value for field, value in fields if field == "Mems"})),
        tasks=sum(field == "Cpus" for field, _ in fields),
    )


def connections(
    container: Container, port: int, *, within_s: float = docker_host.COMMAND_WITHIN_S
) -> int:
    """
    Return how many TCP connections to *port* are open in *container*; bounded by *within_s*.

    Without those from the container itself, which are its health check's.
    """
    return sum(
        1
        for row in _sockets(container, within_s)
        if row.state == _ESTABLISHED and row.port == port and not row.is_from_itself
    )


def _owners(container: Container, port: int) -> frozenset[int]:
    inodes = {
        row.inode for row in _sockets(container) if row.state == _LISTENING and row.port == port
    }
    # One `ls` of every process' descriptors; those of other users cannot be read and print
    # an error, hence the `|| true`.
    listing = docker_host.run(container, "sh", "-c", "ls -l /proc/[0-9]*/fd 2>/dev/null || true")
    owners = set()
    pid = 0
    for line in listing.splitlines():
        if header := re.match(r"/proc/(\d+)/fd:", line):
            pid = int(header[1])
        elif (found := re.search(r"socket:\[(\d+)\]", line)) and found[1] in inodes:
            owners.add(pid)
    return frozenset(owners)


def _with_children(container: Container, pids: frozenset[int]) -> tuple[int, ...]:
    """Return *pids* and what they started, and so on: a server may compute in another process."""
    stats = docker_host.run(container, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true")
    # The second field is a name in parentheses, and may be anything.
    rows = re.findall(r"^(\d+) \(.*\) \S (\d+) ", stats, re.MULTILINE)
    found, before = pids, frozenset[int]()
    while found != before:
        before = found
        found |= {int(pid) for pid, parent in rows if int(parent) in before}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Socket:
    port: int
    state: str
    inode: str
    is_from_itself: bool


def _sockets(
    container: Container, within_s: float = docker_host.COMMAND_WITHIN_S
) -> Iterator[_Socket]:
    """Yield every TCP socket of *container*'s network."""
    table = docker_host.run(
        container,
        "sh",
        "-c",
        "cat /proc/net/tcp && if [ -e /proc/net/tcp6 ]; then cat /proc/net/tcp6; fi",
        within_s=within_s,
    )
    for line in table.splitlines():
        columns = line.split()
        if len(columns) > 9 and columns[0].endswith(":") and columns[0][:-1].isdigit():
            (address, port), (peer, _) = columns[1].split(":"), columns[2].split(":")
            yield _Socket(
                port=int(port, 16),
                state=columns[3],
                inode=columns[9],
                is_from_itself=peer == address,
            )
