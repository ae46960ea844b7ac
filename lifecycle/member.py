"""
The files of the balancer's configuration: members, cordons, and the seal that shows an edit.

A file begins with a line that carries the hash of the rest. One whose hash does not fit was
edited by hand; one that fits is what some `pulumi up` wrote, whatever the settings say today.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

NGINX_CONF = "nginx.conf"

RUN, CHANGE, WATCH, JUDGE = "run.sh", "change.sh", "watch.sh", "judge.awk"
SCRIPTS = (RUN, CHANGE, WATCH, JUDGE)
"""What runs in the balancer's container beside Nginx; their texts are in `in_balancer/`."""


def sealed(text: str) -> bytes:
    """Return *text* as a file with its seal."""
    return f"# written by ovms-numa, sha256 {_hash(text)}; an edit is undone\n{text}".encode()


def is_intact(content: bytes) -> bool:
    """Tell whether a file is as it was written."""
    seal, _, text = content.decode(errors="replace").partition("\n")
    return f"sha256 {_hash(text)};" in seal


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def member_path(instance: str) -> str:
    """Return the path of *instance*'s member file inside a generation."""
    return f"members/{instance}.conf"


def members(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the instances that have a member file among the balancer's *files*."""
    for path in files:
        name = PurePosixPath(path).stem
        if path == member_path(name):
            yield name


def host_of(instance: str) -> str:
    """Return the host in an instance's name, HOST-nodeN-ORDINAL."""
    return instance.rsplit("-", 2)[0]


def cordon_path(instance: str) -> str:
    """Return the path of the mark that an operator holds *instance* closed."""
    return f"cordoned/{instance}"


def unwell_path(instance: str) -> str:
    """Return the path of the mark, with the reason, that the watcher holds *instance* closed."""
    return f"unwell/{instance}"


def render_member(
    address: str, port: int, weight: int, *, is_open: bool, models: tuple[str, ...] = ()
) -> bytes:
    """
    Render a member file: one server of the upstream, closed ones marked `down`.

    Args:
        address: IPv4 address.
        port: of the server.
        weight: its share, relative to that of others.
        is_open: whether it gets requests.
        models: those that the watcher asks it for.
    """
    down = "" if is_open else " down"
    asked = "".join(f"# model {model}\n" for model in models)
    return sealed(f"{asked}server {address}:{port} weight={weight} max_fails=0{down};\n")


def member_address(content: bytes) -> str:
    """Return the ADDRESS:PORT in a member file; empty where an edit took it out."""
    found = re.search(rb"^server (\S+) ", content, re.MULTILINE)
    return found[1].decode() if found else ""


def is_open(content: bytes) -> bool:
    """Tell whether a member file lets requests through."""
    return b" down;" not in content


def gets_requests(files: Mapping[str, bytes], instance: str) -> bool:
    """Tell whether *instance* is open in the balancer's *files*, and the watcher lets it be."""
    content = files.get(member_path(instance))
    return content is not None and is_open(content) and unwell_path(instance) not in files


def member_fault(files: Mapping[str, bytes], instance: str) -> str | None:
    """Say what is wrong with *instance* in the balancer's *files*; a cordon is nothing wrong."""
    content = files.get(member_path(instance))
    if content is None:
        return "is not in the balancer"
    if not is_intact(content):
        return "had its member file in the balancer edited by hand"
    if not is_open(content) and cordon_path(instance) not in files:
        return "is closed in the balancer, and no one cordoned it"
    if (reason := files.get(unwell_path(instance))) is not None:
        return f"was closed by the watcher, as it {reason.decode(errors='replace').strip()}"
    return None


def configuration_fault(files: Mapping[str, bytes]) -> str | None:
    """Say what is wrong with the balancer's own configuration in *files*."""
    for path in (NGINX_CONF, *SCRIPTS):
        content = files.get(path)
        if content is None:
            return "lost its configuration"
        if not is_intact(content):
            return f"had its {path} edited by hand"
    return None
