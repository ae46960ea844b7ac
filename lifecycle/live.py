"""The topology of a host as it is now, on this machine or behind SSH."""

from lifecycle.listing import read_files
from lifecycle.probe import PATTERNS, probe_topology, topology_of
from lifecycle.ssh import SshHost
from planner.errors import TopologyError
from planner.topology import HostTopology


def topology_at(docker: str) -> HostTopology | None:
    """
    Read the live topology of the host of the Docker engine *docker*.

    Returns:
        None where the engine's URL leads to no files of its host.

    Raises:
        TopologyError: the host does not say what a plan needs.
        LifecycleError: the host cannot be reached.
    """
    if docker.startswith("unix://"):
        return live_topology(None)
    return live_topology(SshHost.parse(docker)) if docker.startswith("ssh://") else None


def live_topology(host: SshHost | None) -> HostTopology:
    """
    Read the live topology of *host*; None: this machine.

    Raises:
        As `topology_at`.
    """
    if host is None:
        return probe_topology()
    files = read_files(host, PATTERNS)
    try:
        return topology_of(files)
    except TopologyError as error:
        raise TopologyError(*(f"{host.url}: {fault}" for fault in error.faults)) from None
