"""What a host's CPUs and memory are: NUMA nodes, cores, and what of them may be used."""

from planner.topology.model import Core, HostTopology, NumaNode
from planner.topology.sysfs import SYSFS_PATTERNS, parse_sysfs

__all__ = ["SYSFS_PATTERNS", "Core", "HostTopology", "NumaNode", "parse_sysfs"]
