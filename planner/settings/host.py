"""The hosts, and how instances lie on their NUMA nodes."""

import ipaddress
import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from planner.cpuset import HIGHEST_ID, CpuSet
from planner.settings.base import FromList, LinuxList, Section, Subnet, fault

MIN_LOCAL_SHARE = 0.99
"""Of `placement.min-local-share`; a spec that does not name it means this one."""

# RFC 1123 label; short, because it begins the name of every container.
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
TOPOLOGY_FILE = re.compile(r"hosts/[A-Za-z0-9][A-Za-z0-9._-]*\.json")
_SOCKET = re.compile(r"unix:///[^\s]+")
# The user's name as useradd(8) takes it, with the dots and capitals of directory services.
SSH_URL = re.compile(
    r"ssh://(?P<user>[A-Za-z_][A-Za-z0-9._-]*)"
    r"@(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(?P<port>[0-9]+))?"
)
_HIGHEST_PORT = 65535


def _host_name(value: str) -> str:
    if _HOST_NAME.fullmatch(value):
        return value
    raise fault(
        f"{value!r} cannot begin a container's name; write at most 20 lower-case letters, digits "
        "and hyphens, with a letter or digit at both ends"
    )


HostName = Annotated[str, AfterValidator(_host_name)]


def _reached(value: Any) -> str:
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise fault(
            f"{value!r} is not an IPv4 address, which the balancer needs to reach this host; "
            "write one of the host in a private network, such as '10.0.0.2'"
        ) from None
    kinds = {
        "every address of a host": address.is_unspecified,
        "a host's way to itself": address.is_loopback,
        "a group of hosts": address.is_multicast or address.is_reserved,
    }
    for kind, is_one in kinds.items():
        if is_one:
            raise fault(
                f"{value!r} is {kind}, and the balancer must reach this host there from another "
                "one; write an address of the host in a private network"
            )
    return str(address)


_HostAddress = Annotated[
    str, PlainValidator(_reached), WithJsonSchema({"type": "string", "format": "ipv4"})
]


def _docker(value: str) -> str:
    if _SOCKET.fullmatch(value):
        return value
    if value.startswith("ssh://"):
        if wrong := ssh_fault(value):
            raise fault(wrong)
        return value
    if value.startswith(("tcp://", "http://", "https://", "npipe://")):
        raise fault(
            f"{value!r} is a Docker engine on the network, where whoever reaches it is root; "
            "write ssh://USER@HOST, or unix:///var/run/docker.sock for this machine"
        )
    raise fault(
        f"{value!r} is not the URL of a Docker engine; write unix:// and the socket's absolute "
        "path, such as unix:///var/run/docker.sock, or ssh://USER@HOST"
    )


def ssh_fault(value: str) -> str | None:
    """
    Say what keeps *value* from being the URL of a host behind SSH.

    Returns:
        A sentence that begins with *value*, without a password that it holds, and ends with what
        to write; None where it is such a URL.
    """
    match = SSH_URL.fullmatch(value)
    if match and 0 < int(match["port"] or 22) <= _HIGHEST_PORT:
        return None
    user, _, host = value.removeprefix("ssh://").rpartition("@")
    if match:
        why = f"has port {match['port']}, and ports are 1 to {_HIGHEST_PORT}"
    elif not user:
        why = "names no user"
    elif ":" in user:
        # What is printed stays in logs: the password does not go into it.
        value = f"ssh://{user.partition(':')[0]}:…@{host}"
        why = "holds a password, and the settings are for all to read"
    elif host.startswith("["):
        why = "is an IPv6 address, and hosts are reached by IPv4 here"
    elif "/" in host:
        why = "has a path, and SSH leads to the engine's own socket"
    else:
        why = "is not a user and a host"
    return f"{value!r} {why}; write ssh://USER@HOST or ssh://USER@HOST:PORT"


def _topology(value: str) -> str:
    if value == "probe" or TOPOLOGY_FILE.fullmatch(value):
        return value
    raise fault(
        f"{value!r} says not where the topology comes from; write probe to read it from the host, "
        "or hosts/NAME.json for a captured one"
    )


class HostSettings(Section):
    """One machine with a Docker engine."""

    docker: Annotated[str, AfterValidator(_docker)] = Field(
        default="unix:///var/run/docker.sock",
        description="Docker engine of the host: a local socket (unix://), or ssh://USER@HOST "
        "with an optional :PORT.",
    )
    topology: Annotated[str, AfterValidator(_topology)] = Field(
        default="probe",
        description="Where its NUMA topology comes from: probe, or a captured hosts/NAME.json.",
    )
    subnet: Subnet = Field(
        default=IPv4Network("172.30.80.0/24"),
        description="Private IPv4 network (/16 to /27) of the instances, unused on the host.",
    )
    address: _HostAddress | None = Field(
        default=None,
        description="IPv4 address of the host on which its instances publish their ports for a "
        "balancer on another host, in a network of their own; null beside the balancer.",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A plan must not depend on reaching another machine."""
        if self.topology == "probe" and self.docker.startswith("ssh://"):
            yield (
                "topology",
                f"probe reads the machine that plans, and docker is {self.docker!r}; run "
                f"`make capture NAME=… HOST={self.docker}`, and write the hosts/NAME.json that it "
                "makes",
            )


def _distinct(ids: tuple[int, ...]) -> tuple[int, ...]:
    twice = sorted({node for node in ids if ids.count(node) > 1})
    if twice:
        raise fault(f"NUMA nodes {twice} are there twice; write each once")
    return ids


class PlacementSettings(Section):
    """How many instances a NUMA node gets, and which CPUs and memory they get."""

    instances_per_node: int = Field(
        default=1, ge=1, le=HIGHEST_ID, description="Instances on each NUMA node."
    )
    cores_per_instance: int | None = Field(
        default=None,
        ge=1,
        le=HIGHEST_ID,
        description="Cores of each instance; null: the node's usable cores divided evenly.",
    )
    cpu_sharing: Literal["refused", "allowed"] = Field(
        default="refused",
        description="May instances share cores with each other and with other stacks: "
        "refused, or allowed (for development machines).",
    )
    exclude_nodes: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], FromList, AfterValidator(_distinct)
    ] = Field(default=(), description="NUMA nodes that get no instance, by id.")
    reserved_cpus: LinuxList = Field(
        default=CpuSet(),
        description="CPUs that no instance gets, as a Linux list such as '0-1,8'; whole cores.",
    )
    smt: Literal["one-per-core", "siblings"] = Field(
        default="one-per-core",
        description="CPUs an instance gets of its cores: one-per-core, or all siblings.",
    )
    cpu_binding: Literal["node", "host", "none"] = Field(
        default="node",
        description="CPUs of an instance: its own cores (node); to measure against, "
        "all usable CPUs of the host (host) or no CPU set (none).",
    )
    memory_binding: Literal["bind", "none"] = Field(
        default="bind",
        description="Memory of an instance: only its node's (bind), or any (none).",
    )
    min_local_share: float = Field(
        default=MIN_LOCAL_SHARE,
        ge=0,
        le=1,
        description="Least share of an instance's anonymous memory that lies on the NUMA nodes it "
        "is bound to, 0 to 1, measured before it serves; 0: measured, and not required.",
    )
