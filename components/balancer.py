"""The one Nginx in front of a stack's instances."""

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
from components.network import network
from components.seen import Seen
from planner.nginx import LISTEN_PORT, OPEN_FILES

_CONFIG = "/etc/ovms-numa"
TMPFS = {"/tmp": "rw,noexec,nosuid,nodev,size=1g,mode=1777"}  # noqa: S108
"""Also large requests lie there until they are sent on; the largest setting for one is 1 GiB."""


class BalancerArgs(TypedDict):
    """What the balancer is told."""

    where: dict[str, str]
    """The host, as `planner.where` tells it."""
    prefix: str
    """Project and stack: what the names of its container, networks and volume begin with."""
    image: str
    user: str
    """Numeric ``uid:gid`` of Nginx."""
    cpus: str
    """Linux CPU list; empty: it floats."""
    subnet: str
    """Of the internal network between balancer and instances."""
    address: str
    """The balancer's address in that network."""
    publish_address: str
    publish_port: int
    nginx_conf: str
    """All but the members, which the instances own."""
    scripts: str
    """Hash of what runs beside Nginx, so that a change of it is an update."""
    keepalive_min_s: int
    start_s: int
    labels: dict[str, pulumi.Input[str]]
    seen: Seen


class Balancer(pulumi.ComponentResource):
    """
    Nginx, its configuration volume, and the two networks it stands in.

    Creates the internal network of the instances, the network of the published port, the volume,
    the container (not started) and the Command that validates and loads the configuration and
    starts Nginx. A changed configuration is one reload. Lists no instance: each opens and closes
    itself.
    """

    network: pulumi.Output[str]
    """The name of the instances' network."""
    reference: dict[str, pulumi.Input[object]]
    """How an action on its host finds the balancer, as `lifecycle` reads it."""
    reference_elsewhere: dict[str, pulumi.Input[object]]
    """The same for an action on another host."""
    url: str
    """Where it is reached."""

    def __init__(
        self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:Balancer", name, {"address": args["address"]}, opts)
        self._seen = args["seen"]
        inner = self._network("instances", args, args["subnet"])
        outer = self._network("published", args)
        volume = self._volume(name, args)
        self.network = inner.name
        self.reference = {
            "container": f"{args['prefix']}-{name}",
            "volume": volume.name,
            "address": args["address"],
            "keepalive_min_s": args["keepalive_min_s"],
        }
        self.reference_elsewhere = {**self.reference, **args["where"]}
        self.url = f"http://{args['publish_address']}:{args['publish_port']}"
        container = self._container(name, args, volume, inner, outer)
        spec = {
            **args["where"],
            "balancer": self.reference,
            "start_s": args["start_s"],
            "nginx_conf": args["nginx_conf"].splitlines(),
            "scripts": args["scripts"],
        }
        drift = self._seen.drift.get(name)
        command.local.Command(
            f"{name}-pushed",
            **action("push", spec, drift=drift),
            triggers=[container.id],
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=undrifted(drift)),
        )
        self.register_outputs({"url": self.url})

    def _network(self, role: str, args: BalancerArgs, subnet: str | None = None) -> docker.Network:
        # A port cannot be published from an internal network, hence the second one.
        return network(
            f"balancer-{role}",
            f"{args['prefix']}-{role}",
            role,
            args["labels"],
            self._seen,
            pulumi.ResourceOptions(parent=self),
            subnet=subnet,
            internal=subnet is not None,
        )

    def _volume(self, name: str, args: BalancerArgs) -> docker.Volume:
        # In the name: a volume's id is its name, and whoever uses it must see that it is new.
        incarnation = self._seen.incarnation("configuration")
        labels = labelled(args["labels"], "configuration", self._seen, incarnation)
        return docker.Volume(
            f"{name}-configuration",
            name=f"{args['prefix']}-{name}-{incarnation}",
            labels=[docker.VolumeLabelArgs(label=key, value=its) for key, its in labels.items()],
            opts=self._options("name", "labels"),
        )

    def _options(self, *unseen: str) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self, delete_before_replace=True, ignore_changes=self._seen.unseen(*unseen)
        )

    def _container(
        self,
        name: str,
        args: BalancerArgs,
        volume: docker.Volume,
        inner: docker.Network,
        outer: docker.Network,
    ) -> docker.Container:
        labels = labelled(args["labels"], "balancer", self._seen)
        return docker.Container(
            name,
            name=f"{args['prefix']}-{name}",
            image=args["image"],
            user=args["user"],
            command=["sh", f"{_CONFIG}/current/run.sh", _CONFIG],
            cpu_set=args["cpus"] or None,
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path=_CONFIG)],
            tmpfs=TMPFS,
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=inner.name, ipv4_address=args["address"]),
                docker.ContainerNetworksAdvancedArgs(name=outer.name),
            ],
            ports=[
                docker.ContainerPortArgs(
                    internal=LISTEN_PORT,
                    external=args["publish_port"],
                    ip=args["publish_address"],
                )
            ],
            labels=container_labels(labels),
            # Nginx ends its streams before it stops.
            stop_signal="SIGQUIT",
            destroy_grace_seconds=30,
            **hardened(open_files=OPEN_FILES),
            opts=pulumi.ResourceOptions.merge(
                self._options(),
                pulumi.ResourceOptions(
                    replace_on_changes=REPLACE_ON_CHANGES,
                    ignore_changes=unseen_labels(labels, self._seen),
                ),
            ),
        )
