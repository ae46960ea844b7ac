"""The hosts: their Docker engines, topologies and networks."""

import base64
import ipaddress
import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from planner.settings.base import Section, Subnet, fault
from planner.where import Where

# RFC 1123 label; short, because it begins the name of every container.
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?")
TOPOLOGY_FILE = re.compile(r"hosts/[A-Za-z0-9][A-Za-z0-9._-]*\.json")
_TCP = re.compile(r"tcp://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?:[1-9][0-9]{0,4}")
_SOCKET = re.compile(r"unix:///[^\s]+")
# The user's name as useradd(8) takes it, with the dots and capitals of directory services.
SSH_URL = re.compile(
    r"ssh://(?P<user>[A-Za-z_][A-Za-z0-9._-]*)"
    r"@(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(?P<port>[0-9]+))?"
)
_HIGHEST_PORT = 65535
# What sshd(8) has host keys of. The text is base64 and begins with the type; RFC 4253, section 6.6.
_KEY_TYPES = ("ssh-ed25519", "ssh-rsa", *(f"ecdsa-sha2-nistp{bits}" for bits in (256, 384, 521)))
# Whatever ssh(1) would expand or split is left out.
_FILE_NAME = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PROJECT_FILE = re.compile(rf"{_FILE_NAME}(?:/{_FILE_NAME})*")


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
    if _TCP.fullmatch(value):
        return value
    if value.startswith(("tcp://", "http://", "https://", "npipe://")):
        raise fault(
            f"{value!r} is a Docker engine on the network, where whoever reaches it is root; "
            "write ssh://USER@HOST, or unix:///var/run/docker.sock for this machine, or "
            "tcp://HOST:PORT with its certificates under tls"
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


def _host_key(value: str) -> str:
    """Check a public host key, and leave out the comment behind it."""
    kind, _, text = value.strip().partition(" ")
    text = text.strip().partition(" ")[0]
    if kind in _KEY_TYPES and _text_is_of(kind, text):
        return f"{kind} {text}"
    raise fault(
        f"{value[:40]!r} is not a public host key; write its type and text, which `ssh-keyscan -t "
        "ed25519 HOST` prints behind the name, such as 'ssh-ed25519 AAAAC3Nz…'"
    )


def _text_is_of(kind: str, text: str) -> bool:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    name = kind.encode()
    head = len(name).to_bytes(4, "big") + name
    return key.startswith(head) and len(key) > len(head)


def _known_hosts(value: str) -> str:
    if _PROJECT_FILE.fullmatch(value):
        return value
    raise fault(
        f"{value!r} is not a file of the project, which is the same in each checkout; write its "
        "path from Pulumi.yaml on, in letters, digits, dots, hyphens and underscores, such as "
        "hosts/known_hosts"
    )


def _tls(value: str) -> str:
    if _PROJECT_FILE.fullmatch(value):
        return value
    raise fault(
        f"{value!r} is not a folder of the project, which has the same name in each checkout; "
        "write its path from Pulumi.yaml on, in letters, digits, dots, hyphens and underscores, "
        "such as tls/box"
    )


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
        description="Docker engine of the host: a local socket (unix://), ssh://USER@HOST with an "
        "optional :PORT, or tcp://HOST:PORT with tls.",
    )
    host_key: Annotated[str, AfterValidator(_host_key)] | None = Field(
        default=None,
        description="The public SSH host key that the host must prove to have, as TYPE BASE64; "
        "null: see known-hosts.",
    )
    known_hosts: Annotated[str, AfterValidator(_known_hosts)] | None = Field(
        default=None,
        description="File of the project in the form of known_hosts, the only one whose keys are "
        "trusted; null: the user's and the system's, unless there is a host-key.",
    )
    tls: Annotated[str, AfterValidator(_tls)] | None = Field(
        default=None,
        description="Folder of the project, ignored by git, with ca.pem, cert.pem and key.pem for "
        "a tcp:// engine.",
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

    @property
    def where(self) -> Where:
        """How the host is reached."""
        return Where.of(self)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A plan must not depend on reaching another machine; a host is known by one means."""
        if self.host_key is not None and self.known_hosts is not None:
            yield (
                "known-hosts",
                f"{self.known_hosts!r} is there beside a host-key, and only one can say which key "
                "is trusted; leave one out",
            )
        for key, value in (("host-key", self.host_key), ("known-hosts", self.known_hosts)):
            if value is not None and not self.where.is_remote:
                yield (
                    key,
                    f"keys are of hosts behind SSH, and docker is {self.docker!r}; leave it out, "
                    "or write ssh://USER@HOST as docker",
                )
        if self.where.is_engine_only and self.tls is None:
            yield (
                "docker",
                f"{self.docker!r} is a Docker engine on the network, where whoever reaches it is "
                "root; write the folder with its certificates under tls, or ssh://USER@HOST",
            )
        if self.tls is not None and not self.where.is_engine_only:
            yield (
                "tls",
                f"certificates are of engines at tcp://, and docker is {self.docker!r}; leave it "
                "out, or write tcp://HOST:PORT as docker",
            )
        if self.topology == "probe" and not self.docker.startswith("unix://"):
            capture = f"`make capture NAME=… HOST={self.docker}`"
            if self.where.is_engine_only:
                capture = "`make capture NAME=…` on that machine"
            yield (
                "topology",
                f"probe reads the machine that plans, and docker is {self.docker!r}; run "
                f"{capture}, and write the hosts/NAME.json that it makes",
            )
