"""What a host's CPUs and memory are: NUMA nodes, cores, and what of them may be used."""

from planner.topology.differences import differences
from planner.topology.model import Core, HostTopology, NumaNode
from planner.topology.sysfs import SYSFS_PATTERNS, describe_sysfs, parse_sysfs

__all__ = [
    "SYSFS_PATTERNS",
    "Core",
    "HostTopology",
    "NumaNode",
    "describe_sysfs",
    "differences",
    "parse_sysfs",
]
