"""
What a host looks like now, read only: its NUMA nodes, cores and what Docker may use of them.

Sources: sysfs ``/sys/devices/system/{cpu,node}``, and `lifecycle.docker_group`.

Files are read here, or on another host by `lifecycle.listing`; what they say is told here only.
"""

import errno
import json
from collections.abc import Mapping
from glob import glob
from pathlib import Path
from typing import Any

from lifecycle import docker_group
from planner.errors import TopologyError
from planner.topology import SYSFS_PATTERNS, HostTopology, describe_sysfs, parse_sysfs

# The files that `topology_of` takes, as glob patterns below a host's root directory.
PATTERNS = (*SYSFS_PATTERNS, *docker_group.PATTERNS)


def probe_topology(root: Path = Path("/")) -> HostTopology:
    """
    Read the topology of this machine, or of a tree captured from another one.

    Raises:
        TopologyError: the tree lacks what is needed, or contradicts itself.
    """
    return topology_of(read_tree(root))


def describe_tree(root: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """
    Tell what a captured tree says, even where it does not say all that a plan needs.

    Returns:
        As `planner.topology.describe_sysfs` does.

    Raises:
        TopologyError: its CPUs, NUMA nodes or cores cannot be told.
    """
    return describe_sysfs(_with_allowed(read_tree(root)))


def topology_of(files: Mapping[str, str]) -> HostTopology:
    """
    Read the topology out of the text of the files that match PATTERNS.

    Raises:
        TopologyError: something is missing, or contradicts the rest.
    """
    return parse_sysfs(_with_allowed(files))


def read_tree(root: Path) -> dict[str, str]:
    """
    Read the files below *root* that match PATTERNS; a file's path is relative to *root*.

    Raises:
        TopologyError: there is no sysfs in *root*, or a file cannot be read.
    """
    if not (root / "sys/devices/system/cpu").is_dir():
        raise TopologyError(
            f"{root / 'sys/devices/system/cpu'} is not there, so no topology can be read. Run this "
            "on a Linux host with sysfs, or name a captured one in the host's topology."
        )
    try:
        # Unlike Path.glob, it passes over a group that is removed meanwhile.
        found = (glob(pattern, root_dir=root) for pattern in PATTERNS)  # noqa: PTH207
        read = {path: _text(root / path) for paths in found for path in paths}
        files = {path: text for path, text in read.items() if text is not None}
        return files | _group_of_the_reader(root, files)
    except OSError as error:
        raise TopologyError(
            f"{error.filename} cannot be read: {error.strerror}. Run this as a user who may."
        ) from None


def _text(path: Path) -> str | None:
    """Read a file; None where it is none, is gone (a container's group) or private (a setting)."""
    try:
        return path.read_text(errors="replace") if path.is_file() else None
    except OSError as error:
        private = error.errno == errno.EACCES and path.name == docker_group.SETTINGS_NAME
        if private or error.errno in (errno.ENOENT, errno.ENODEV):
            return None
        raise


def _with_allowed(files: Mapping[str, str]) -> dict[str, str]:
    """Add what the group of Docker's containers has, as `parse_sysfs` takes it."""
    return {**docker_group.limits(files), **files}


def _group_of_the_reader(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """
    Find the limits in a tree that shows no group that could be Docker's.

    Such trees were captured by a process in a group of its own, and show that one.
    """
    if "allowed/cpus" in docker_group.limits(files):
        return {}
    mounts = _cpuset_mounts(root)
    # The kernel has its CPU sets in one version only, and version 1 where both are mounted.
    found = {"cgroup/version": str(min(version for _, version in mounts))} if mounts else {}
    own = _own_group(root)
    # A group in which CPU sets are not enabled has those of the one that it is in.
    groups = [mount / group for mount, _ in mounts for group in (own, *own.parents)] if own else []
    for kind in docker_group.KINDS:
        names = (f"cpuset.{kind}.effective", f"cpuset.effective_{kind}", f"cpuset.{kind}", kind)
        paths = (group / name for group in groups for name in names)
        found[f"allowed/{kind}"] = next((path.read_text() for path in paths if path.is_file()), "")
    return {path: text for path, text in found.items() if text.strip()}


def _own_group(root: Path) -> Path | None:
    """Find the group of the capturing process, relative to the mount; see cgroups(7)."""
    cpuset, cgroup = root / "proc/self/cpuset", root / "proc/self/cgroup"
    if cpuset.is_file():
        return Path(cpuset.read_text().strip().lstrip("/"))
    lines = cgroup.read_text().splitlines() if cgroup.is_file() else []
    by_controller = {
        controller: group
        for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") > 1)
        for controller in controllers.split(",")
    }
    group = by_controller.get("cpuset", by_controller.get(""))
    return None if group is None else Path(group.lstrip("/"))


def _cpuset_mounts(root: Path) -> list[tuple[Path, int]]:
    """Find where a tree has its CPU sets, and of which cgroup version; see cpuset(7)."""
    table = root / "proc/mounts"
    found = []
    for line in table.read_text(errors="replace").splitlines() if table.is_file() else ():
        _, directory, kind, options, *_ = [*line.split(" "), "", "", "", ""]
        if kind in ("cpuset", "cgroup2") or "cpuset" in options.split(","):
            found.append((root / directory.lstrip("/"), 2 if kind == "cgroup2" else 1))
    return found


def read_topology(source: str) -> HostTopology:
    """
    Read the topology that a host's setting `topology` names.

    Args:
        source: ``probe`` for this machine as it is, or a captured file of the project.

    Raises:
        TopologyError: it cannot be read, lacks something, or contradicts itself.
    """
    if source == "probe":
        return probe_topology()
    try:
        data = json.loads(Path(source).read_text())
    except (OSError, ValueError) as error:
        raise TopologyError(
            f"{source} cannot be read ({error}); make it with `make capture "
            f"NAME={Path(source).stem}`, or set the host's topology to probe"
        ) from None
    return HostTopology.from_json(data, source)
