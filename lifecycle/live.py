"""The topology of a host as it is now, on this machine or behind SSH."""

from collections.abc import Mapping

from lifecycle.listing import read_files
from lifecycle.probe import PATTERNS, probe_topology, topology_of
from lifecycle.reach import reach
from lifecycle.ssh import SshHost
from planner.errors import TopologyError
from planner.topology import HostTopology
from planner.where import Where


def topology_at(where: Where) -> HostTopology | None:
    """
    Read the live topology of the host of a Docker engine.

    Returns:
        None where the engine's URL leads to no files of its host.

    Raises:
        TopologyError: the host does not say what a plan needs.
        LifecycleError: the host cannot be reached.
    """
    if where.docker.startswith("unix://"):
        return live_topology(None)
    if not where.is_remote:
        return None
    return _told(where.docker, reach(where).read_files(PATTERNS))


def live_topology(host: SshHost | None) -> HostTopology:
    """
    Read the live topology of *host*, of which no Docker engine is asked; None: this machine.

    Raises:
        As `topology_at`.
    """
    if host is None:
        return probe_topology()
    return _told(host.where.docker, read_files(host, PATTERNS))


def _told(host: str, files: Mapping[str, str]) -> HostTopology:
    try:
        return topology_of(files)
    except TopologyError as error:
        raise TopologyError(*(f"{host}: {fault}" for fault in error.faults)) from None
