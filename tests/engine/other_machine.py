"""Running a command where the kernel's files are those of another machine."""

import os
from dataclasses import replace
from pathlib import Path

from planner.topology import HostTopology, parse_sysfs
from tests.planner.worlds import sysfs_of

_MOUNT = """\
for below in devices/system/cpu devices/system/node fs/cgroup; do
  mount --bind "$0/sys/$below" "/sys/$below" || exit
done
exec "$@"
"""


def words_for(machine: HostTopology, folder: Path) -> tuple[str, ...]:
    """
    Write the files of *machine* into *folder*.

    Returns:
        The words that begin a command for which they are the kernel's; for all others nothing
        changes.
    """
    nodes = {
        node.id: [str(core.cpus) for core in machine.cores if core.cpus <= node.cpus]
        for node in machine.nodes
    }
    files = sysfs_of(nodes)
    for node in machine.nodes:
        files[f"sys/devices/system/node/node{node.id}/meminfo"] = (
            f"Node {node.id} MemTotal: {node.memory_bytes // 1024} kB\n"
        )
    assert parse_sysfs(files) == replace(machine, cgroup_version=None)
    files["sys/fs/cgroup/cgroup.controllers"] = "cpuset\n"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    # Only root may mount; in a user's own space, everyone is.
    user = () if os.geteuid() == 0 else ("--map-root-user",)
    return ("unshare", "--mount", *user, "sh", "-c", _MOUNT, str(folder))
