"""How much is left on the disk of a Docker engine."""

import os
from collections.abc import Mapping
from typing import Any

LITTLE_BYTES = 1 << 30
"""Less than this is little: an image or a model may need as much."""


def shortage(info: Mapping[str, Any]) -> str | None:
    """
    Say how little is left on the disk where an engine keeps images, containers and volumes.

    Args:
        info: what the engine answers to ``/info``.

    Returns:
        The end of a sentence; none where there is enough, or where the disk is not of this
        machine, or not one that this user may see.
    """
    folder = str(info.get("DockerRootDir") or "")
    try:
        space = os.statvfs(folder)
    except OSError:
        return None
    free = space.f_bavail * space.f_frsize
    if free >= LITTLE_BYTES:
        return None
    return f"Docker's disk ({folder}) has {free >> 20} MiB left"
