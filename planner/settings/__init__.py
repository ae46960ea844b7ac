"""
The strict model of a stack's settings, and the only place of their defaults.

Owns what can be told from the settings alone. Whether they fit a host is `planner.placement`'s.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from planner.errors import SettingsError
from planner.settings.base import Section, fault
from planner.settings.endpoint import BalancerSettings, ImageSettings, RolloutSettings
from planner.settings.faults import describe
from planner.settings.host import HostName, HostSettings
from planner.settings.models import PREPARED_MODEL, ModelSettings, SingleModelSettings
from planner.settings.placement import PlacementSettings
from planner.settings.serving import ServerSettings
from planner.settings.several_hosts import host_faults

__all__ = [
    "PREPARED_MODEL",
    "BalancerSettings",
    "HostSettings",
    "ImageSettings",
    "ModelSettings",
    "PlacementSettings",
    "RolloutSettings",
    "Section",
    "ServerSettings",
    "Settings",
    "SingleModelSettings",
    "parse_settings",
]


def _some_host(hosts: Mapping[str, HostSettings]) -> Mapping[str, HostSettings]:
    if hosts:
        return hosts
    raise fault("names no host, and instances need one; write one, such as local: {}")


class Settings(Section):
    """All settings of one stack: the value of its key ``ovms-numa:settings``."""

    hosts: Annotated[Mapping[HostName, HostSettings], AfterValidator(_some_host)] = Field(
        description="The hosts by name; one or more.", json_schema_extra={"minProperties": 1}
    )
    placement: PlacementSettings = Field(
        default=PlacementSettings(), description="How instances lie on NUMA nodes."
    )
    server: ServerSettings = Field(default=ServerSettings(), description="The model server.")
    models: ModelSettings = Field(default=ModelSettings(), description="The models served.")
    balancer: BalancerSettings = Field(
        default=BalancerSettings(), description="The endpoint in front of the instances."
    )
    rollout: RolloutSettings = Field(
        default=RolloutSettings(), description="How changes reach the instances."
    )
    images: ImageSettings = Field(
        default=ImageSettings(), description="What the images made here are built on."
    )

    @property
    def balancer_host(self) -> str:
        """The name of the host that the balancer runs on."""
        return self.balancer.host or next(iter(self.hosts))

    @property
    def private_weights(self) -> bool:
        """
        Whether each instance is told to hold a copy of the weights of its own.

        The copy takes as much anonymous memory as the model's files have weights that the server
        uses as they are; otherwise they lie in the host's page cache once, for all instances.
        """
        return self.models.single is not None and self.server.weights != "shared"

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Hosts must reach each other, and a section must fit the others."""
        yield from host_faults(self.hosts, self.balancer.host)
        if self.server.hang_timeout_s < self.balancer.read_timeout_s:
            yield (
                "server.hang-timeout-s",
                f"{self.server.hang_timeout_s} s is less than balancer.read-timeout-s "
                f"({self.balancer.read_timeout_s} s), so that an instance would be killed while "
                f"the balancer waits for it; write {self.balancer.read_timeout_s} or more",
            )
        if self.models.single is None and self.server.weights is not None:
            yield (
                "server.weights",
                f"{self.server.weights!r} cannot be told to OVMS beside a config.json: each "
                "model's graph.pbtxt decides; use models.single, or write null here and "
                "ENABLE_MMAP into plugin_config there",
            )


def parse_settings(data: Mapping[str, Any], source: str) -> Settings:
    """
    Check the settings of one stack.

    Args:
        data: the value of the stack's key ``ovms-numa:settings``, as YAML or JSON gives it.
        source: the file that it stands in, for the faults.

    Raises:
        SettingsError: names every fault as ``SOURCE: path.to.key: what was seen; why; remedy``.
    """
    try:
        return Settings.model_validate(dict(data) if isinstance(data, Mapping) else data)
    except ValidationError as error:
        faults = describe(error.errors(include_url=False), Settings)
        raise SettingsError(*(f"{source}: {path}: {text}" for path, text in faults)) from None
