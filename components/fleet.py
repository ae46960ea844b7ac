"""The model servers of a stack."""

from typing import TypedDict

import pulumi
import pulumi_docker as docker

from components.model_server import InstanceArgs, ModelServer


class FleetArgs(TypedDict):
    """The instances, in rolling order."""

    instances: dict[str, InstanceArgs]
    """By name; earlier ones are replaced first."""
    waits_for: dict[str, str]
    """For an instance the one that must be active before it is touched, where there is one."""
    providers: dict[str, docker.Provider]
    """For each instance the engine of its host."""
    after: dict[str, list[pulumi.Resource]]
    """For each instance what must be there before it."""


class Fleet(pulumi.ComponentResource):
    """
    The model servers of a stack on all its hosts, replaced one after another.

    Creates one ModelServer an instance. Decides neither placement nor order.
    """

    servers: dict[str, ModelServer]
    """The model servers by name."""

    def __init__(
        self, name: str, args: FleetArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:Fleet", name, {}, opts)
        self.servers = {}
        for instance, instance_args in args["instances"].items():
            previous = args["waits_for"].get(instance)
            chain = [self.servers[previous].activation] if previous else []
            self.servers[instance] = ModelServer(
                instance,
                instance_args,
                pulumi.ResourceOptions(parent=self, provider=args["providers"][instance]),
                after=[*args["after"][instance], *chain],
            )
        self.register_outputs({})
