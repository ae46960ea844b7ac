"""The model servers of one host."""

from typing import TypedDict

import pulumi

from components.model_server import InstanceArgs, ModelServer


class FleetArgs(TypedDict):
    """The instances, in rolling order."""

    instances: dict[str, InstanceArgs]
    """By name; earlier ones are replaced first."""
    waits_for: dict[str, str]
    """For an instance the one that must be active before it is touched, where there is one."""


class Fleet(pulumi.ComponentResource):
    """
    The model servers of one host, replaced one after another.

    Creates one ModelServer an instance. Decides neither placement nor order.
    """

    servers: dict[str, ModelServer]
    """The model servers by name."""

    def __init__(
        self,
        name: str,
        args: FleetArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        after: list[pulumi.Resource] | None = None,
    ) -> None:
        super().__init__("ovms-numa:index:Fleet", name, {}, opts)
        self.servers = {}
        for instance, instance_args in args["instances"].items():
            previous = args["waits_for"].get(instance)
            chain = [self.servers[previous].activation] if previous else []
            self.servers[instance] = ModelServer(
                instance,
                instance_args,
                pulumi.ResourceOptions(parent=self),
                after=[*(after or []), *chain],
            )
        self.register_outputs({})
