"""
What a host looks like now, read only: its NUMA nodes, cores and what Docker may use of them.

Sources: sysfs ``/sys/devices/system/{cpu,node}`` and the CPU set of the control group in which
Docker makes its containers (cgroup version 2: `cpuset.cpus.effective`; 1: `cpuset.effective_cpus`,
or `cpuset.cpus` before Linux 3.17).

Files are read here, or on another host by `lifecycle.listing`; what they say is told here only.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from planner.errors import TopologyError
from planner.topology import SYSFS_PATTERNS, HostTopology, describe_sysfs, parse_sysfs

# Where Docker's containers go, nearest first: the parent group that Docker makes (cgroupfs
# driver), the slice that systemd gives it, else the root. Version 2, then version 1.
_V2_GROUPS = ("docker/", "system.slice/", "")
_V1_GROUPS = ("cpuset/docker/", "cpuset/system.slice/", "cpuset/")
_ALLOWED = {
    kind: (
        *(f"sys/fs/cgroup/{group}cpuset.{kind}.effective" for group in _V2_GROUPS),
        *(
            f"sys/fs/cgroup/{group}cpuset.{name}"
            for group in _V1_GROUPS
            for name in (f"effective_{kind}", kind)
        ),
    )
    for kind in ("cpus", "mems")
}

# Version 2 has this file in its root only; a machine that has both mounts version 2 elsewhere.
_V2_ROOT = "sys/fs/cgroup/cgroup.controllers"

# The files that `topology_of` takes, as glob patterns below a host's root directory.
PATTERNS = (*SYSFS_PATTERNS, _V2_ROOT, *(path for paths in _ALLOWED.values() for path in paths))


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
        files = {
            str(path.relative_to(root)): path.read_text(errors="replace")
            for pattern in PATTERNS
            for path in root.glob(pattern)
            if path.is_file()
        }
        return files | _group_of_the_reader(root, files)
    except OSError as error:
        raise TopologyError(
            f"{error.filename} cannot be read: {error.strerror}. Run this as a user who may."
        ) from None


def _with_allowed(files: Mapping[str, str]) -> dict[str, str]:
    """Add the lists of the group nearest to Docker's containers, as `parse_sysfs` takes them."""
    found = {
        f"allowed/{kind}": next((files[path] for path in paths if path in files), "")
        for kind, paths in _ALLOWED.items()
    }
    if _V2_ROOT in files:
        found["cgroup/version"] = "2"
    elif any(f"sys/fs/cgroup/cpuset/cpuset.{kind}" in files for kind in _ALLOWED):
        found["cgroup/version"] = "1"
    return {**{path: text for path, text in found.items() if text.strip()}, **files}


def _group_of_the_reader(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """
    Find the limits in a tree that shows no group that could be Docker's.

    Such trees were captured by a process in a group of its own, and show that one.
    """
    if any(path in files for paths in _ALLOWED.values() for path in paths):
        return {}
    groups = tuple(_groups(root))
    found = {}
    for kind in _ALLOWED:
        names = (f"cpuset.{kind}.effective", f"cpuset.effective_{kind}", f"cpuset.{kind}", kind)
        paths = (group / name for group in groups for name in names)
        found[f"allowed/{kind}"] = next((path.read_text() for path in paths if path.is_file()), "")
    return {path: text for path, text in found.items() if text.strip()}


def _groups(root: Path) -> Iterator[Path]:
    """Yield the directories of the CPU set that the capturing process was in; see cpuset(7)."""
    own, mounts = root / "proc/self/cpuset", root / "proc/mounts"
    if not own.is_file() or not mounts.is_file():
        return
    for line in mounts.read_text(errors="replace").splitlines():
        _, directory, kind, options, *_ = [*line.split(" "), "", "", "", ""]
        if kind in ("cpuset", "cgroup2") or "cpuset" in options.split(","):
            yield root / directory.lstrip("/") / own.read_text().strip().lstrip("/")


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
