"""The one Nginx in front of a stack's instances."""

from typing import TypedDict

import pulumi
import pulumi_command as command
import pulumi_docker as docker

from components.container import REPLACE_ON_CHANGES, action, container_labels, hardened
from planner.nginx import LISTEN_PORT, OPEN_FILES

_CONFIG = "/etc/ovms-numa"


class BalancerArgs(TypedDict):
    """What the balancer is told."""

    docker: str
    """URL of the host's Docker engine."""
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
    keepalive_min_s: int
    start_s: int
    labels: dict[str, pulumi.Input[str]]


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
    reference: dict[str, object]
    """How an action finds the balancer, as `lifecycle` reads it."""
    url: str
    """Where it is reached."""

    def __init__(
        self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ovms-numa:index:Balancer", name, {"address": args["address"]}, opts)
        container_name = f"{args['prefix']}-{name}"
        self.reference = {
            "container": container_name,
            "volume": container_name,
            "address": args["address"],
            "keepalive_min_s": args["keepalive_min_s"],
        }
        self.url = f"http://{args['publish_address']}:{args['publish_port']}"
        inner, outer = self._networks(name, args)
        self.network = inner.name
        volume = docker.Volume(
            f"{name}-configuration",
            name=container_name,
            labels=[
                docker.VolumeLabelArgs(label=key, value=args["labels"][key])
                for key in sorted(args["labels"])
            ],
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        container = self._container(name, args, volume, inner, outer)
        spec = {
            "docker": args["docker"],
            "balancer": self.reference,
            "start_s": args["start_s"],
            "nginx_conf": args["nginx_conf"].splitlines(),
        }
        command.local.Command(
            f"{name}-pushed",
            **action("push", spec),
            triggers=[container.id],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"url": self.url})

    def _networks(self, name: str, args: BalancerArgs) -> tuple[docker.Network, docker.Network]:
        labels = [
            docker.NetworkLabelArgs(label=key, value=args["labels"][key])
            for key in sorted(args["labels"])
        ]
        options = pulumi.ResourceOptions(parent=self, delete_before_replace=True)
        # A port cannot be published from an internal network, hence the second one.
        inner = docker.Network(
            f"{name}-instances",
            name=f"{args['prefix']}-instances",
            internal=True,
            ipam_configs=[docker.NetworkIpamConfigArgs(subnet=args["subnet"])],
            labels=labels,
            opts=options,
        )
        outer = docker.Network(
            f"{name}-published", name=f"{args['prefix']}-published", labels=labels, opts=options
        )
        return inner, outer

    def _container(
        self,
        name: str,
        args: BalancerArgs,
        volume: docker.Volume,
        inner: docker.Network,
        outer: docker.Network,
    ) -> docker.Container:
        return docker.Container(
            name,
            name=f"{args['prefix']}-{name}",
            image=args["image"],
            user=args["user"],
            command=["nginx", "-c", f"{_CONFIG}/current/nginx.conf", "-g", "daemon off;"],
            cpu_set=args["cpus"] or None,
            volumes=[docker.ContainerVolumeArgs(volume_name=volume.name, container_path=_CONFIG)],
            tmpfs={"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"},  # noqa: S108
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
            labels=container_labels(args["labels"]),
            # Nginx ends its streams before it stops.
            stop_signal="SIGQUIT",
            destroy_grace_seconds=30,
            **hardened(open_files=OPEN_FILES),
            opts=pulumi.ResourceOptions(
                parent=self, delete_before_replace=True, replace_on_changes=REPLACE_ON_CHANGES
            ),
        )
