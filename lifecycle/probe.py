"""
What a host looks like now, read only: its NUMA nodes, cores and what Docker may use of them.

Sources: sysfs ``/sys/devices/system/{cpu,node}`` and the CPU set of the control group in which
Docker makes its containers (cgroup version 2: `cpuset.cpus.effective`; 1: `cpuset.effective_cpus`).
"""

import json
from pathlib import Path

from planner.errors import TopologyError
from planner.topology import SYSFS_PATTERNS, HostTopology, parse_sysfs

# Where Docker's containers go, nearest first: the parent group that Docker makes (cgroupfs
# driver), the slice that systemd gives it, else the root. Version 2, then version 1.
_ALLOWED = {
    "cpus": (
        "sys/fs/cgroup/docker/cpuset.cpus.effective",
        "sys/fs/cgroup/system.slice/cpuset.cpus.effective",
        "sys/fs/cgroup/cpuset.cpus.effective",
        "sys/fs/cgroup/cpuset/docker/cpuset.effective_cpus",
        "sys/fs/cgroup/cpuset/cpuset.effective_cpus",
    ),
    "mems": (
        "sys/fs/cgroup/docker/cpuset.mems.effective",
        "sys/fs/cgroup/system.slice/cpuset.mems.effective",
        "sys/fs/cgroup/cpuset.mems.effective",
        "sys/fs/cgroup/cpuset/docker/cpuset.effective_mems",
        "sys/fs/cgroup/cpuset/cpuset.effective_mems",
    ),
}


def probe_topology(root: Path = Path("/")) -> HostTopology:
    """
    Read the topology of this machine, or of a tree captured from another one.

    Raises:
        TopologyError: the tree lacks what is needed, or contradicts itself.
    """
    if not (root / "sys/devices/system/cpu").is_dir():
        raise TopologyError(
            f"{root / 'sys/devices/system/cpu'} is not there, so no topology can be read. Run this "
            "on a Linux host with sysfs, or name a captured one in the host's topology."
        )
    files = {
        str(path.relative_to(root)): path.read_text()
        for pattern in SYSFS_PATTERNS
        for path in root.glob(pattern)
    }
    for kind, candidates in _ALLOWED.items():
        texts = (root / candidate for candidate in candidates)
        found = next((path.read_text() for path in texts if path.is_file()), "")
        if found.strip():
            files[f"allowed/{kind}"] = found
    return parse_sysfs(files)


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
            f"{source} cannot be read ({error}); capture the host's topology into it, or set the "
            "host's topology to probe"
        ) from None
    topology = data["topology"] if isinstance(data, dict) and "topology" in data else data
    return HostTopology.from_json(topology, source)
