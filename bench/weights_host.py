"""The host on which `bench.weights` measures: one server at a time, between emptied caches."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from lifecycle import docker_host, proof
from lifecycle.pages import Pages
from planner.cpuset import CpuSet
from planner.plan import Placement
from planner.server import MODELS_MOUNT, open_files, server_command, server_environment
from planner.settings import parse_settings

_SCRIPTS = Path(__file__).parent
_NODES = "/sys/devices/system/node"
_PORT = 8000
_SERVES_WITHIN_S = 700
_CACHE_GB = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """
    One server that has generated.

    Attributes:
        pages: where its memory lies.
        memory_nodes: the Linux lists that its tasks may take memory from.
        ready_s: seconds from its start until the model was ready.
        token_s: seconds that its first token took.
    """

    pages: Pages
    memory_nodes: tuple[str, ...]
    ready_s: float
    token_s: float


class WeightsHost:
    """Containers of one image, with the models in a volume that is removed at the end."""

    def __init__(self, client: docker.DockerClient, image: str, volume: str) -> None:
        """
        Take what is there.

        Args:
            client: the Docker engine; whoever may use it is root on the host, which emptying the
                page cache takes.
            image: of the model server, with Python in it.
            volume: with the models.
        """
        self._client = client
        self._image = image
        self._volume = volume

    def cpus_by_node(self) -> dict[int, CpuSet]:
        """Return the CPUs of the NUMA nodes."""
        text = self._run("sh", "-c", f"cd {_NODES} && grep '' node[0-9]*/cpulist")
        found = (line.removeprefix("node").split("/cpulist:") for line in text.split())
        return {int(node): CpuSet.parse(cpus) for node, cpus in found}

    def empty_cache(self) -> None:
        """Drop all of the page cache that nothing maps."""
        self._run(
            "sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches", user="0:0", privileged=True
        )

    def read_on(self, node: int, cpus: CpuSet, model: str) -> None:
        """Read the model's files, and the image's libraries, on *node*."""
        where = f"{MODELS_MOUNT}/{model} /opt /usr/lib"
        self._run(
            "sh",
            "-c",
            f"find {where} -type f -exec cat {{}} + > /dev/null",
            cpuset_cpus=str(cpus),
            cpuset_mems=str(node),
        )

    def cached(self, file: str) -> dict[int, int]:
        """Return the bytes of *file*, below the models, that are in the page cache, by node."""
        path = f"{MODELS_MOUNT}/{file}"
        found = json.loads(self._run("python3", "-c", _script("cached"), path))
        return {int(node): its for node, its in found[path].items()}

    def serve(self, model: str, weights: str, node: int, cpus: CpuSet, *, bound: bool) -> Served:
        """Start a server of *model* on *node*, let it generate, measure it, remove it."""
        settings = parse_settings(_settings(model, weights), "bench.weights")
        placement = Placement(
            host="bench",
            node=node,
            ordinal=0,
            cpus=cpus,
            memory_nodes=CpuSet.of((node,)) if bound else None,
            threads=len(cpus),
            port=_PORT,
            address="127.0.0.1",
            published=None,
            weight=1,
        )
        files = open_files(settings)
        container = self._client.containers.create(
            self._image,
            list(server_command(settings, placement)),
            environment=list(server_environment(settings)),
            cpuset_cpus=str(cpus),
            cpuset_mems=str(node) if bound else None,
            network_mode="none",
            volumes=self._volumes("ro"),
            ulimits=[docker.types.Ulimit(name="nofile", soft=files, hard=files)],
        )
        with docker_host.temporary(container):
            container.start()
            return _measure(container, model)

    def _run(self, *argv: str, **settings: Any) -> str:
        output = self._client.containers.run(
            self._image,
            list(argv[1:]),
            entrypoint=argv[0],
            network_mode="none",
            remove=True,
            volumes=self._volumes("ro"),
            **settings,
        )
        return bytes(output).decode()

    def _volumes(self, mode: str) -> dict[str, dict[str, str]]:
        return {self._volume: {"bind": MODELS_MOUNT, "mode": mode}}


def _measure(container: Container, model: str) -> Served:
    asked = docker_host.run(
        container,
        *("python3", "-c", _script("generate_once"), str(_PORT), model),
        within_s=_SERVES_WITHIN_S,
    )
    found = proof.read(container, _PORT)
    if found.pages is None:
        raise docker_host.CommandError("the host's kernel does not tell pages by node (numa_maps)")
    return Served(pages=found.pages, memory_nodes=found.memory_nodes, **json.loads(asked))


def _settings(model: str, weights: str) -> Mapping[str, Any]:
    """Return the settings of a stack whose instances would run as the one measured."""
    return {
        "hosts": {"bench": {}},
        "server": {"weights": weights},
        "models": {
            "directory": "/bench",
            "names": [model],
            "single": {"path": model, "cache-size": _CACHE_GB},
        },
    }


def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.py").read_text()


@contextmanager
def models_volume(client: docker.DockerClient, image: str, models: Path) -> Iterator[str]:
    """Put the folders below *models* into a volume of the host; remove it at the end."""
    volume = client.volumes.create(labels={"ovms-numa.bench": "weights"})
    try:
        container = client.containers.create(
            image, volumes={volume.name: {"bind": MODELS_MOUNT, "mode": "rw"}}
        )
        with docker_host.temporary(container):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                tar.add(models, arcname=".")
            container.put_archive(MODELS_MOUNT, buffer.getvalue())
        yield str(volume.name)
    finally:
        volume.remove(force=True)
