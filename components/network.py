"""A bridge network on a host."""

import pulumi
import pulumi_docker as docker

from components.container import labelled
from components.seen import Seen


def network(
    resource: str,
    name: str,
    role: str,
    labels: dict[str, pulumi.Input[str]],
    seen: Seen,
    opts: pulumi.ResourceOptions,
    *,
    subnet: str | None = None,
    internal: bool = False,
) -> docker.Network:
    """
    Declare a network.

    Args:
        resource: what the engine calls it.
        name: what Docker calls it.
        role: what the stack has it for.
        labels: of everything of the stack.
        seen: the stack on the network's host.
        opts: its parent or its provider.
        subnet: its addresses; None: Docker chooses.
        internal: nothing outside of the host is reached from it, and no port is published.
    """
    its = labelled(labels, role, seen)
    return docker.Network(
        resource,
        name=name,
        internal=internal,
        ipam_configs=[docker.NetworkIpamConfigArgs(subnet=subnet)] if subnet else [],
        labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in its.items()],
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                delete_before_replace=True, ignore_changes=seen.unseen("labels")
            ),
        ),
    )
