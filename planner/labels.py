"""The labels of what a stack has on a host, by which everything of it is found again."""

from collections.abc import Mapping

PROJECT = "ovms-numa.project"
STACK = "ovms-numa.stack"
STATE = "ovms-numa.state"
"""Made once per state: another clone with a state of its own has another."""
ROLE = "ovms-numa.role"
"""What a thing is for; only the stack gives it, as a container inherits its image's labels."""
INCARNATION = "ovms-numa.incarnation"
"""Tells a thing from the one that was lost and made again."""

INSTANCE = "ovms-numa.instance"
CPUS = "ovms-numa.cpus"
"""The Linux list that the instance is bound to, or ANY."""
MEMORY_NODES = "ovms-numa.memory-nodes"
"""The Linux list of NUMA nodes that it is bound to, or ANY."""
MODELS = "ovms-numa.models"
ANY = "any"


def stack_labels(project: str, stack: str) -> dict[str, str]:
    """Return the labels that everything of a stack on a host carries."""
    return {PROJECT: project, STACK: stack}


def owner_of(labels: Mapping[str, str]) -> dict[str, str]:
    """Return those of *labels* that say whose a thing is, without what it is."""
    return {key: labels[key] for key in (PROJECT, STACK, STATE) if key in labels}
