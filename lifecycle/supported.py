"""Kinds of Docker engine that a stack cannot stand on, refused before anything is made."""

from collections.abc import Mapping
from typing import Any

from lifecycle.errors import LifecycleError

# By the name that the engine gives it among the `SecurityOptions` of its `/info`: what is seen,
# and what to do. Sources: "Rootless mode" and "Bind mounts" of Docker's documentation.
_REFUSED = {
    "rootless": (
        "its engine is rootless: the addresses of its containers are not reachable from the host, "
        "from where each instance is asked before it gets traffic, and the cgroup controller "
        "`cpuset`, which the CPUs and memory nodes of an instance need, is not delegated to a "
        "user by default",
        "set `docker` of the host to an engine that runs as root, such as "
        "`unix:///var/run/docker.sock`, then run this again",
    ),
    "selinux": (
        "its engine confines containers by SELinux, and this version labels no files for that: "
        "the containers could not read a `models.directory`",
        "start dockerd without `selinux-enabled` (a flag of its command line, a key of "
        "/etc/docker/daemon.json), or name another host; then run this again",
    ),
}


def refuse_unsupported(info: Mapping[str, Any], url: str) -> None:
    """
    Refuse an engine that is rootless, or that confines containers by SELinux.

    Args:
        info: what the engine answers to ``/info``.
        url: where it is.

    Raises:
        LifecycleError: it is one of these.
    """
    options = info.get("SecurityOptions") or ()
    # Each as in "name=seccomp,profile=default".
    named = {field for option in options for field in option.split(",")}
    for name, (seen, remedy) in _REFUSED.items():
        if f"name={name}" in named:
            raise LifecycleError(subject=url, step="looking at the host", seen=seen, remedy=remedy)
