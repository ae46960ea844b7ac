"""One model server, pinned to CPUs and memory."""

from typing import TypedDict

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.container import (
    REPLACE_ON_CHANGES,
    action,
    container_labels,
    hardened,
    labelled,
    undrifted,
    unseen_labels,
)
from components.seen import Seen
from planner.health import EVERY_S, LOOKS, WITHIN_S
from planner.labels import ANY, CPUS, INSTANCE, MEMORY_NODES, MODELS
from planner.settings.placement import MIN_LOCAL_SHARE


class InstanceArgs(TypedDict):
    """What an instance is told; its placement is in `cpus`, `memory_nodes`, `address`, `port`."""

    where: dict[str, str]
    """The host, as `planner.where` tells it."""
    container: str
    """The container's name."""
    image: str
    user: str
    command: list[str]
    envs: list[str]
    models: list[str]
    """The models that must generate before the instance gets traffic."""
    models_source: dict[str, pulumi.Input[str]]
    """The models directory: ``{"volume_name": ...}`` or ``{"host_path": ...}``."""
    network: pulumi.Input[str]
    address: str
    published: str | None
    """The host's address on which the port is published, for a balancer on another host."""
    port: int
    weight: int
    open_files: int
    cpus: str | None
    memory_nodes: str | None
    min_local_share: float
    """Least share of the anonymous memory that is to lie on `memory_nodes`."""
    memory_mib: int | None
    """The most that the container may take; none: any."""
    health_check: str
    """For the shell of its image: kills a server that hangs, so that Docker restarts it."""
    drain: bool
    balancer: dict[str, pulumi.Input[object]]
    timeouts: dict[str, int]
    labels: dict[str, pulumi.Input[str]]
    seen: Seen


class ModelServer(pulumi.ComponentResource):
    """
    A model server that runs on the CPUs and the memory node of its placement.

    Creates one container (not started) and its Activation: the Command that binds and starts it,
    waits until it generates, proves the placement and opens it in the balancer; its delete
    drains. Publishes its port only for a balancer on another host, and pulls no model.
    """

    activation: command.local.Command
    """What the next instance of a rolling update waits for."""
    placement: pulumi.Output[str]
    """The proof, as JSON: CPUs and memory nodes of every task of the server, memory by node."""

    def __init__(
        self,
        name: str,
        args: InstanceArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        after: list[pulumi.Resource] | None = None,
    ) -> None:
        super().__init__(
            "ovms-numa:index:ModelServer", name, {"container": args["container"]}, opts
        )
        container = self._container(name, args, after or [])
        spec = {
            "instance": name,
            **args["where"],
            **{
                key: args[key]
                for key in (
                    "container", "cpus", "memory_nodes", "address", "port", "weight",
                    "models", "drain", "balancer", "timeouts",
                )
            },
            **({"published": args["published"]} if args["published"] else {}),
            **_gate(args["min_local_share"]),
        }  # fmt: skip
        drift = args["seen"].drift.get(name)
        self.activation = command.local.Command(
            f"{name}-activation",
            **action("activate", spec, drift=drift),
            delete=action("drain")["create"],
            triggers=[container.id],
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=True, ignore_changes=undrifted(drift)
            ),
        )
        self.placement = self.activation.stdout
        self.register_outputs({"placement": self.placement})

    def _container(
        self, name: str, args: InstanceArgs, after: list[pulumi.Resource]
    ) -> docker.Container:
        labels = {
            **labelled(args["labels"], name, args["seen"]),
            INSTANCE: name,
            # What a look at the host compares with. Docker's provider has no input for
            # memory nodes; as a label a change of them replaces.
            CPUS: args["cpus"] or ANY,
            MEMORY_NODES: args["memory_nodes"] or ANY,
            # The server reads config.json when it starts, and not again.
            MODELS: ",".join(sorted(args["models"])),
        }
        return docker.Container(
            name,
            name=args["container"],
            image=args["image"],
            user=args["user"],
            command=args["command"],
            envs=args["envs"],
            cpu_set=args["cpus"],
            memory=args["memory_mib"],
            # As much: else Docker would let it swap the same again, and the provider would see that
            # as a difference.
            memory_swap=args["memory_mib"],
            volumes=[
                docker.ContainerVolumeArgs(
                    container_path="/workspace", read_only=True, **args["models_source"]
                )
            ],
            tmpfs={"/tmp": "rw,nosuid,nodev,size=256m,mode=1777"},  # noqa: S108
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(
                    name=args["network"], ipv4_address=args["address"]
                )
            ],
            ports=_ports(args),
            healthcheck=docker.ContainerHealthcheckArgs(
                tests=["CMD-SHELL", args["health_check"]],
                interval=f"{EVERY_S}s",
                timeout=f"{WITHIN_S}s",
                retries=LOOKS,
                start_period="0s",
            ),
            labels=container_labels(labels),
            destroy_grace_seconds=args["timeouts"]["stop_s"],
            **hardened(open_files=args["open_files"]),
            # By `depends_on` alone: a property of another instance would make the engine delete
            # all of them together.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=after,
                delete_before_replace=True,
                replace_on_changes=REPLACE_ON_CHANGES,
                ignore_changes=unseen_labels(labels, args["seen"]),
            ),
        )


def _gate(min_local_share: float) -> dict[str, float]:
    """Name the gate in a spec unless it is the one that a spec means anyway."""
    is_default = min_local_share == MIN_LOCAL_SHARE
    return {} if is_default else {"min_local_share": min_local_share}


def _ports(args: InstanceArgs) -> list[docker.ContainerPortArgs] | None:
    if args["published"] is None:
        return None
    return [
        docker.ContainerPortArgs(internal=args["port"], external=args["port"], ip=args["published"])
    ]
