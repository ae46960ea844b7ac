"""What every container of a stack has in common, and how actions on a host are declared."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.seen import Seen
from planner.labels import INCARNATION, ROLE

# Relative to the project, the working directory of a plugin: an absolute path would enter the
# state and differ in each checkout.
PYTHON = "venv/bin/python"

SPEC_VERSION = 1

# Inputs that the provider would change in place although the process in the container reads
# them only when it starts, or that it does not change at all. `#initerror` retries a container
# that was made but could not be set up.
REPLACE_ON_CHANGES = [
    "cpuSet", "memory", "memorySwap", "init", "tmpfs", "healthcheck", "#initerror",
]  # fmt: skip


def hardened(*, open_files: int) -> dict[str, Any]:
    """
    Return the inputs that keep a container's process from more than it needs.

    Args:
        open_files: how many it may have open; more than the Docker daemon's own hard limit
            lets no container start.
    """
    return {
        "read_only": True,
        "capabilities": docker.ContainerCapabilitiesArgs(drops=["ALL"]),
        "security_opts": ["no-new-privileges:true"],
        "init": True,
        "log_driver": "json-file",
        "log_opts": {"max-size": "10m", "max-file": "3"},
        "ulimits": [docker.ContainerUlimitArgs(name="nofile", soft=open_files, hard=open_files)],
        "restart": "unless-stopped",
        # An action of `lifecycle` starts it, once it is bound or configured.
        "start": False,
        "must_run": False,
    }


def container_labels(labels: Mapping[str, pulumi.Input[str]]) -> list[docker.ContainerLabelArgs]:
    """Return *labels* as a container takes them, in the order of their keys."""
    return [docker.ContainerLabelArgs(label=key, value=labels[key]) for key in sorted(labels)]


def unseen_labels(labels: Mapping[str, object], seen: Seen) -> list[str]:
    """
    Return what of *labels* a container keeps where the host was not looked at.

    Only the incarnation, which is not known then: the others say what the settings want, and a
    change of them must show.
    """
    return seen.unseen(f"labels[{sorted(labels).index(INCARNATION)}].value")


def labelled(
    labels: Mapping[str, pulumi.Input[str]], role: str, seen: Seen, incarnation: str | None = None
) -> dict[str, pulumi.Input[str]]:
    """Return *labels* with what a thing is, and the word that tells it from one that was lost."""
    return {
        **labels,
        ROLE: role,
        INCARNATION: incarnation or seen.incarnation(role),
    }


def action(
    name: str, spec: Mapping[str, object] | None = None, *, drift: str | None = None
) -> dict[str, Any]:
    """
    Return the inputs of a Command that runs an action of `lifecycle`.

    Args:
        name: the action.
        spec: what it reads from standard input, one key a line, so that a diff reads well;
            outputs of resources may be in it.
        drift: why it runs although nothing was changed, if that is so.
    """
    inputs: dict[str, Any] = {
        "create": f"{PYTHON} -m lifecycle {name}",
        "logging": command.local.Logging.STDERR,
        "add_previous_output_in_env": False,
    }
    if spec is not None:
        inputs["stdin"] = pulumi.Output.json_dumps({"version": SPEC_VERSION, **spec}, indent=1)
    if drift is not None:
        inputs["environment"] = {"DRIFT": drift}
    return inputs


def undrifted(drift: str | None) -> list[str]:
    """
    Return the properties of an action's Command to leave as the state has them.

    The reason of an earlier drift stays there without being a difference.
    """
    return [] if drift is not None else ["environment"]
