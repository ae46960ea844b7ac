"""The balancer in front, how changes roll out, and what images are built on."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from planner.cpuset import CpuSet
from planner.settings.base import Address, LinuxList, Section, check_image, fault

_DAY_S = 86_400

Seconds = Annotated[int, Field(ge=1, le=_DAY_S)]

# Nginx counts what is limited in 16 bits.
_MOST_REQUESTS = 65_535

# Nginx leaves out headers with other characters than these (underscores_in_headers,
# ignore_invalid_headers).
_HEADER = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_HEADER_LENGTH = 64


def _header(value: str) -> str:
    if _HEADER.fullmatch(value) and len(value) <= _HEADER_LENGTH:
        return value
    raise fault(
        f"{value!r} is not the name of a header that Nginx passes on; write at most "
        f"{_HEADER_LENGTH} letters and digits with single hyphens between, such as X-Session-Id"
    )


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
        default=10,
        description="Seconds told to clients while no instance is open, or max-requests are in "
        "progress.",
    )
    retry: Literal["unsent", "waiting"] = Field(
        default="unsent",
        description="Requests that go to a second instance: those that the first did not get "
        "(unsent), or also those that it died on before a byte of the answer (waiting).",
    )
    max_requests: Annotated[int, Field(ge=1, le=_MOST_REQUESTS)] | None = Field(
        default=None,
        description="Completions in progress at once; more get status 429. null: any number, "
        "which wait in the instances.",
    )
    affinity: Literal["none", "session"] = Field(
        default="none",
        description="Instance that a request goes to: the one with the fewest for its weight "
        "(none), or the one that its session was at before (session).",
    )
    affinity_header: Annotated[str, AfterValidator(_header)] = Field(
        default="X-Session-Id", description="Header of a request that names its session."
    )
    affinity_bound: Annotated[int, Field(ge=1, le=_MOST_REQUESTS)] | None = Field(
        default=None,
        description="Requests at an instance, from which on those of its sessions go to others; "
        "null: server.max-concurrency.",
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
        description="Debian 13 image reference with tag or digest, which has curl and python3; or "
        "local, a root file system made from packages.",
    )
