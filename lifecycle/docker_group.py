"""
What of a host its Docker engine may give to containers, by the control group they are made in.

Sources: cgroup version 2, Documentation/admin-guide/cgroup-v2.rst (`cpuset.cpus.effective`);
version 1, cgroup-v1/cpusets.rst (`cpuset.effective_cpus`, before Linux 3.17 `cpuset.cpus`). Docker
puts containers into ``docker`` (driver cgroupfs) or ``system.slice`` (driver systemd), unless
daemon.json has a `cgroup-parent`. A group that does not exist yet gets what its parent has.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from planner.errors import TopologyError

KINDS = ("cpus", "mems")
SETTINGS_NAME = "daemon.json"
_SETTINGS = f"etc/docker/{SETTINGS_NAME}"
# Version 2 has this file in its root only; a machine that has both mounts version 2 elsewhere.
_V2_ROOT = "sys/fs/cgroup/cgroup.controllers"
_BASES = {2: "sys/fs/cgroup/", 1: "sys/fs/cgroup/cpuset/"}
_NAMES = {2: ("cpuset.{}.effective",), 1: ("cpuset.effective_{}", "cpuset.{}")}
# Without a word in daemon.json: systemd's driver is the default where systemd runs version 2.
_USUAL_PARENTS = {2: ("system.slice", "docker"), 1: ("docker", "system.slice")}
_DRIVER_PARENTS = {"systemd": ("system.slice",), "cgroupfs": ("docker",)}
_DRIVER = re.compile(r"native\.cgroupdriver=(\w+)")

# The files that `limits` takes, as glob patterns below a host's root directory.
PATTERNS = (
    _SETTINGS,
    _V2_ROOT,
    *(
        f"{_BASES[version]}{'*/' * depth}{name.format(kind)}"
        for version in _BASES
        for depth in range(4)
        for name in _NAMES[version]
        for kind in KINDS
    ),
)


def limits(files: Mapping[str, str]) -> dict[str, str]:
    """
    Tell what Docker may give, in the form that `planner.topology.parse_sysfs` takes.

    Args:
        files: the text of the files that match PATTERNS, and others.

    Returns:
        ``cgroup/version``, ``allowed/cpus`` and ``allowed/mems``, as far as *files* show them.

    Raises:
        TopologyError: Docker's own settings cannot be read.
    """
    version = 2 if any(path == _V2_ROOT or path.endswith(".effective") for path in files) else 1
    paths = {kind: tuple(_paths(version, kind, files)) for kind in KINDS}
    found = {
        f"allowed/{kind}": next((files[path] for path in paths[kind] if _said(files, path)), "")
        for kind in KINDS
    }
    said = {path: text for path, text in found.items() if text}
    return said | {"cgroup/version": str(version)} if said or version == 2 else {}


def _said(files: Mapping[str, str], path: str) -> bool:
    return bool(files.get(path, "").strip())


def _paths(version: int, kind: str, files: Mapping[str, str]) -> Iterator[str]:
    """Name the files that may tell the limit, the group nearest to the containers first."""
    for group in _groups(version, files):
        for name in _NAMES[version]:
            yield f"{_BASES[version]}{group}{name.format(kind)}"


def _groups(version: int, files: Mapping[str, str]) -> Iterator[str]:
    for parent in _parents(version, files):
        parts = parent.split("/")
        for length in range(len(parts), 0, -1):
            yield f"{'/'.join(parts[:length])}/"
    yield ""


def _parents(version: int, files: Mapping[str, str]) -> tuple[str, ...]:
    settings = _settings(files)
    drivers = _DRIVER.findall(str(settings.get("exec-opts")))
    driver = drivers[-1] if drivers else ""
    parent = str(settings.get("cgroup-parent") or "").strip("/")
    if parent.endswith(".slice") and driver != "cgroupfs":
        return (_slice_path(parent),)
    return (parent,) if parent else _DRIVER_PARENTS.get(driver, _USUAL_PARENTS[version])


def _slice_path(name: str) -> str:
    """Give the folders of a slice: ``a-b.slice`` lies in ``a.slice``; see systemd.slice(5)."""
    words = name.removesuffix(".slice").split("-")
    return "/".join(f"{'-'.join(words[:length])}.slice" for length in range(1, len(words) + 1))


def _settings(files: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        settings = json.loads(files.get(_SETTINGS) or "{}")
    except ValueError as error:
        raise TopologyError(
            f"{_SETTINGS} is no JSON ({error}), so where Docker makes its containers is not known; "
            "mend it"
        ) from None
    return settings if isinstance(settings, dict) else {}
