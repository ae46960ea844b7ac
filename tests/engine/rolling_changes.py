"""The changes of `bench_rolling`: what is changed, and how the stack is made ready for it."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.engine.stack import Stack
from tests.engine.test_up import INSTANCES, MODEL

Settings = Mapping[str, Mapping[str, Any]]
"""Changes of a stack's settings, by section."""

_REPOSITORY = "ovms-numa-rolling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A change under load.

    Attributes:
        name: what is changed, in words.
        settings: what is brought up, one after the other.
        pooled: whether short requests share connections; else each makes its own.
        exempt: whether requests are expected to fail, as the balancer's own container is replaced.
    """

    name: str
    settings: tuple[Settings, ...]
    pooled: bool = True
    exempt: bool = False


def changes(images: tuple[str, ...], nginx: str, models: Path) -> Iterator[Change]:
    """
    Yield the changes in their order; each begins where the one before it ended.

    Args:
        images: of the server, one for each run that changes it.
        nginx: another image of the balancer.
        models: a copy of the models directory on the host.
    """
    *pooled, new = images
    for image in pooled:
        yield Change(name="server image", settings=({"server": {"image": image}},))
    yield Change(name="server image", settings=({"server": {"image": new}},), pooled=False)
    for cores in (2, 1, 2):
        yield Change(name="CPU sets", settings=({"placement": {"cores-per-instance": cores}},))
    elsewhere = {"directory": str(models), "names": [MODEL]}
    yield Change(name="models directory", settings=({"models": elsewhere},))
    yield Change(name="server flag", settings=({"server": {"log-level": "WARNING"}},))
    yield Change(name="balancer setting", settings=({"balancer": {"read-timeout-s": 601}},))
    yield Change(
        name="instances 2 → 3 → 2",
        settings=tuple({"placement": {"instances-per-node": count}} for count in (3, 2)),
    )
    yield Change(name="balancer image", settings=({"balancer": {"image": nginx}},), exempt=True)
    yield Change(name="balancer port", settings=({"balancer": {"port": 18151}},), exempt=True)


@contextmanager
def tagged(stack: Stack, name: str, count: int) -> Iterator[tuple[str, ...]]:
    """Make *count* images that differ by a label from the one that *name* runs, for a while."""
    image = stack.container(name).attrs["Config"]["Image"]
    role = "server" if name in INSTANCES else name
    helper = stack.client.containers.create(image)
    tags = [f"{role}-{number}" for number in range(count)]
    try:
        for tag in tags:
            helper.commit(_REPOSITORY, tag, changes=[f"LABEL rolling={tag}"])
    finally:
        helper.remove()
    try:
        yield tuple(f"{_REPOSITORY}:{tag}" for tag in tags)
    finally:
        for tag in tags:
            stack.client.images.remove(f"{_REPOSITORY}:{tag}", force=True)


def copy_models(stack: Stack, folder: Path) -> Path:
    """Copy the models directory out of an instance, as its user's, below *folder*."""
    stream, _ = stack.container(INSTANCES[0]).get_archive("/workspace")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        tar.extractall(folder, filter="data")
    return folder / "workspace"
