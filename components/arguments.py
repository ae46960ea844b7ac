"""
From a plan and its settings to what the components are told.

Pure: names and specs only, so that a preview knows every one of them.
"""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from components.balancer import Balancer, BalancerArgs
from components.container import labelled
from components.image import ImageArgs
from components.model_server import InstanceArgs
from components.model_store import ModelStoreArgs
from components.seen import Seen
from planner.health import health_check
from planner.labels import STATE
from planner.nginx import render_nginx
from planner.placement import Placement, Plan
from planner.server import open_files, server_command, server_environment
from planner.settings import HostSettings, Settings

NGINX_USER = "101:101"
"""Of the official image and of the one built here."""

_BALANCER_HOST_NUMBER = 2
_CONVERT_S = 600
_START_BALANCER_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of a stack's components on one host."""

    settings: Settings
    host_name: str
    prefix: str
    """Project and stack: what the names of all that Docker holds begin with."""
    labels: dict[str, str]
    state_id: pulumi.Input[str] = ""
    """Made once per state; tells the containers of this state from those of another clone."""
    seen: Seen = field(default_factory=Seen)

    @property
    def host(self) -> HostSettings:
        """The host's settings."""
        return self.settings.hosts[self.host_name]

    @property
    def has_balancer(self) -> bool:
        """Whether the balancer runs on this host."""
        return self.host_name == self.settings.balancer_host

    def resource(self, role: str) -> str:
        """
        Return what the engine calls the resource that has *role* on this host.

        The host's name is in it unless the balancer runs there, whatever other hosts there are:
        one host more renames nothing.
        """
        return role if self.has_balancer else f"{self.host_name}-{role}"

    def containers(self, plan: Plan) -> list[str]:
        """Return the names of the containers that *plan* makes on this host."""
        roles = [one.name for one in plan.placements if one.host == self.host_name]
        if self.has_balancer:
            roles.append("balancer")
        return [f"{self.prefix}-{role}" for role in roles]

    def images(self, hashes: Mapping[str, str]) -> dict[str, ImageArgs]:
        """
        Tell which images the stack needs.

        Args:
            hashes: content hash of each recipe in `images/`.

        Returns:
            By role, a base before those that stand on it: `base`, `nginx`, `devserver`, and
            `server` where the instances run another image than `devserver`; `nginx` where the
            balancer runs. Tags are content hashes and take in the base's.
        """
        images: dict[str, ImageArgs] = {}
        converts = self.settings.models.directory == "prepared"
        if self.settings.server.image != "devserver":
            images["server"] = {"reference": self.settings.server.image}
        built = []
        if self.has_balancer and self.settings.balancer.image != "nginx":
            images["nginx"] = {"reference": self.settings.balancer.image}
        elif self.has_balancer:
            built.append("nginx")
        built += ["devserver"] if converts or "server" not in images else []
        if built:
            images = {"base": self._base(hashes["base"]), **images}
        for recipe in built:
            base = images["base"]["reference"]
            digest = hashlib.sha256(f"{base} {hashes[recipe]}".encode()).hexdigest()[:12]
            images[recipe] = {
                "reference": f"{self.prefix}/{recipe}:{digest}",
                "recipe": recipe,
                "base": base,
                "labels": self.labels,
            }
        for args in images.values():
            if (word := self.seen.missing_images.get(args["reference"])) is not None:
                args["missing"] = word
        return images

    def _base(self, recipe_hash: str) -> ImageArgs:
        if self.settings.images.base != "local":
            return {"reference": self.settings.images.base}
        return {
            "reference": f"{self.prefix}/base:{recipe_hash}",
            "recipe": "base",
            "labels": self.labels,
        }

    def model_store(self, image: str, recipe_hash: str) -> ModelStoreArgs:
        """Tell how the prepared model gets into its volume, converted by *image*."""
        role = f"models-{recipe_hash}"
        incarnation = self.seen.incarnation(role)
        return {
            "where": self.host.where.told(),
            "volume": f"{self.prefix}-{role}-{incarnation}",
            "content_hash": recipe_hash,
            "settled": self.seen.exists(role),
            "unseen": self.seen.unseen("name", "labels"),
            "recipe": "model",
            "image": image,
            "command": CONVERT,
            "convert_s": _CONVERT_S,
            "labels": labelled(self.owned(), role, self.seen, incarnation),
        }

    def balancer(self, image: str, plan: Plan, scripts_hash: str) -> BalancerArgs:
        """Tell how the balancer is reached, and what it is configured with and runs."""
        balancer = self.settings.balancer
        subnet = ipaddress.ip_network(self.host.subnet)
        return {
            "where": self.host.where.told(),
            "prefix": self.prefix,
            "image": image,
            "user": NGINX_USER,
            "cpus": str(plan.balancer_cpus),
            "subnet": str(subnet),
            "address": str(subnet[_BALANCER_HOST_NUMBER]),
            "publish_address": str(balancer.address),
            "publish_port": balancer.port,
            "nginx_conf": render_nginx(
                balancer,
                drain_timeout_s=self.settings.rollout.drain_timeout_s,
                max_concurrency=self.settings.server.max_concurrency,
            ),
            "scripts": scripts_hash,
            "keepalive_min_s": balancer.keepalive_min_timeout_s,
            "start_s": _START_BALANCER_S,
            "labels": self.owned(),
            "seen": self.seen,
        }

    def instance(
        self,
        placement: Placement,
        image: str,
        models_source: dict[str, pulumi.Input[str]],
        network: pulumi.Input[str],
        balancer: Balancer,
    ) -> InstanceArgs:
        """Tell one instance where it is placed, what it runs, and what bounds its steps."""
        settings, rollout = self.settings, self.settings.rollout
        return {
            "where": self.host.where.told(),
            "container": f"{self.prefix}-{placement.name}",
            "image": image,
            "user": settings.server.user,
            "command": list(server_command(settings, placement)),
            "envs": list(server_environment()),
            "open_files": open_files(settings),
            "models": list(settings.models.names),
            "models_source": models_source,
            "network": network,
            "address": placement.address,
            "published": placement.published,
            "port": placement.port,
            "weight": placement.weight,
            "cpus": None if placement.cpus is None else str(placement.cpus),
            "memory_nodes": None if placement.memory_nodes is None else str(placement.memory_nodes),
            "min_local_share": settings.placement.min_local_share,
            "memory_mib": placement.memory_mib,
            "health_check": health_check(placement.port, silence_s=settings.server.hang_timeout_s),
            "drain": rollout.drain,
            "balancer": balancer.reference if self.has_balancer else balancer.reference_elsewhere,
            "timeouts": {
                "start_s": rollout.start_timeout_s,
                "generate_s": rollout.generate_timeout_s,
                "drain_s": rollout.drain_timeout_s,
                "stop_s": rollout.stop_timeout_s,
            },
            "labels": self.owned(),
            "seen": self.seen,
        }

    def owned(self) -> dict[str, pulumi.Input[str]]:
        """Return the labels of a thing of this state; images, which states share, have fewer."""
        return {**self.labels, STATE: self.state_id}


CONVERT = [
    "python3", "-m", "devserver.convert", "--gguf", "/tmp/model/SmolLM2-135M-Instruct.Q4_1.gguf",  # noqa: S108
    "--output", "/models", "--name", "smollm2-135m-instruct",
]  # fmt: skip
"""The conversion inside the image `devserver`."""
