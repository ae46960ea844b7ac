"""The balancer in front, how changes roll out, and what images are built on."""

from typing import Annotated

from pydantic import AfterValidator, Field

from planner.cpuset import CpuSet
from planner.settings.base import Address, LinuxList, Section, check_image

_DAY_S = 86_400

Seconds = Annotated[int, Field(ge=1, le=_DAY_S)]


class BalancerSettings(Section):
    """The one Nginx in front of all instances."""

    image: Annotated[str, AfterValidator(lambda image: check_image(image, "nginx"))] = Field(
        default="nginx",
        description="Image reference with tag or digest; or nginx, which is built here.",
    )
    host: str | None = Field(
        default=None, description="Host that the balancer runs on; null: the only one."
    )
    address: Address = Field(
        default="127.0.0.1", description="IPv4 address of the host to publish on."
    )
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the host to publish on.")
    cpus: LinuxList = Field(
        default=CpuSet(),
        description="CPUs of the balancer, as a Linux list; '': the reserved ones of its host, "
        "else it floats.",
    )
    connect_timeout_s: Seconds = Field(
        default=2, description="Seconds to reach an instance before another is tried."
    )
    read_timeout_s: Seconds = Field(
        default=600,
        description="Seconds that an instance may be silent, queueing and prefill included.",
    )
    send_timeout_s: Seconds = Field(
        default=30, description="Seconds that an instance may take no byte of a request."
    )
    keepalive_min_timeout_s: Annotated[int, Field(ge=0, le=_DAY_S)] = Field(
        default=3, description="Seconds that idle client connections stay open during a reload."
    )
    max_body_mib: int = Field(
        default=4, ge=1, le=1024, description="Largest request in MiB; OVMS itself takes 1024."
    )
    worker_processes: int = Field(default=2, ge=1, le=512, description="Nginx worker processes.")
    retry_after_s: Seconds = Field(
        default=10, description="Seconds told to clients while no instance is open."
    )


class RolloutSettings(Section):
    """How changes reach the instances, and how long each step may take."""

    max_unavailable: int = Field(
        default=1, ge=1, le=8191, description="Instances that may be down at once in an update."
    )
    start_timeout_s: Seconds = Field(
        default=600, description="Seconds from an instance's start until its models are ready."
    )
    generate_timeout_s: Seconds = Field(
        default=60, description="Seconds for the first token of each model."
    )
    drain: bool = Field(
        default=True,
        description="Let requests in flight finish before an instance stops; "
        "false only in emergencies.",
    )
    drain_timeout_s: Seconds = Field(
        default=600, description="Seconds that requests in flight may take to finish."
    )
    stop_timeout_s: Seconds = Field(
        default=30, description="Seconds from SIGTERM until an instance is killed."
    )


class ImageSettings(Section):
    """What the images made here are built on."""

    base: Annotated[str, AfterValidator(lambda image: check_image(image, "local"))] = Field(
        default="local",
        description="Debian 13 image reference with tag or digest; or local, a root file system "
        "made from packages.",
    )
