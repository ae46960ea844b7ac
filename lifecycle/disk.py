"""How much is left on the disk of a Docker engine."""

from collections.abc import Mapping
from typing import Any

from lifecycle.reach import Link

LITTLE_BYTES = 1 << 30
"""Less than this is little: an image or a model may need as much."""


def shortage(link: Link, info: Mapping[str, Any]) -> str | None:
    """
    Say how little is left on the disk where an engine keeps images, containers and volumes.

    Args:
        link: to the engine's host.
        info: what the engine answers to ``/info``.

    Returns:
        The end of a sentence; none where there is enough, or where it is not a disk that this
        user may see.
    """
    folder = str(info.get("DockerRootDir") or "")
    free = link.free_bytes(folder)
    if free is None or free >= LITTLE_BYTES:
        return None
    return f"Docker's disk ({folder}) has {free >> 20} MiB left"
