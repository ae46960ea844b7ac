"""
What an action is told, as JSON on its standard input.

A spec is versioned: a `delete` runs with the spec of the update that made the resource and with
today's code, so a newer field has a default and an older version stays readable.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lifecycle.member import render_member
from planner.settings.placement import MIN_LOCAL_SHARE
from planner.where import Where


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _OnHost(_Spec):
    """What is done on a host; `Where` says what the fields mean."""

    docker: str
    host_key: str | None = None
    known_hosts: str | None = None
    tls: str | None = None

    @property
    def where(self) -> Where:
        """The host."""
        return Where.of(self)


class Timeouts(_Spec):
    """Bounds of the steps, in seconds."""

    start_s: int
    generate_s: int
    drain_s: int
    stop_s: int


class BalancerRef(_Spec):
    """Where the balancer is: its container, its configuration volume and its inner address."""

    container: str
    volume: str
    address: str
    keepalive_min_s: int
    docker: str | None = Field(
        default=None, description="URL of its host's Docker engine; none: the instance's own"
    )
    host_key: str | None = None
    known_hosts: str | None = None
    tls: str | None = None

    @property
    def elsewhere(self) -> Where | None:
        """Its host, where that is not the instance's."""
        return None if self.docker is None else Where.of(self)


class Activation(_OnHost):
    """One instance: how it is bound, when it counts as serving, how it is balanced."""

    version: Literal[1]
    instance: str
    container: str
    cpus: str | None = Field(description="Linux CPU list; none: the instance is not pinned")
    memory_nodes: str | None = Field(description="Linux list of NUMA nodes; none: not bound")
    address: str
    published: str | None = Field(
        default=None, description="the host's address under which another host reaches the port"
    )
    port: int
    models: tuple[str, ...]
    weight: int
    min_local_share: float = Field(
        default=MIN_LOCAL_SHARE,
        description="least share of the anonymous memory on `memory_nodes`, where it is bound",
    )
    drain: bool
    balancer: BalancerRef
    timeouts: Timeouts

    @property
    def reached_at(self) -> str:
        """The address at which the port answers the balancer, and this program."""
        return self.published or self.address

    def member_file(self, *, is_open: bool) -> bytes:
        """Render what the balancer is told of the instance."""
        return render_member(
            self.reached_at, self.port, self.weight, is_open=is_open, models=self.models
        )


class Push(_OnHost):
    """The balancer's configuration, all but its members."""

    version: Literal[1]
    balancer: BalancerRef
    nginx_conf: tuple[str, ...] = Field(description="the lines of nginx.conf")
    scripts: str = Field(
        default="", description="hash of what is put beside it, so that a change of it shows"
    )
    start_s: int


class Prepare(_OnHost):
    """A model to put into a volume, converted to what a model server reads."""

    version: Literal[1]
    image: str
    volume: str
    source: str = Field(description="the staged folder, relative to the project")
    command: tuple[str, ...]
    convert_s: int
