"""The host on which `bench.weights` measures: one server at a time, between emptied caches."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
_READ_WITHIN_S = 300


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


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsHost:
    """
    The host; `weights_host` gives it helpers and takes them away.

    Attributes:
        client: its Docker engine.
        image: of the model server, with Python in it.
        models: the volume that has them, or the host's folder.
        cpus: of each NUMA node.
        helpers: for each NUMA node a container that is bound to it, and runs nothing.
    """

    client: docker.DockerClient
    image: str
    models: str
    cpus: Mapping[int, CpuSet]
    helpers: Mapping[int, Container]

    def empty_cache(self) -> None:
        """Drop all of the page cache that nothing maps."""
        self.client.containers.run(
            self.image,
            ["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"],
            entrypoint="sh",
            user="0:0",
            privileged=True,
            network_mode="none",
            remove=True,
        )

    def read_on(self, node: int, model: str) -> None:
        """Read the model's files, and the image's libraries, on *node*."""
        where = f"{MODELS_MOUNT}/{model} /opt /usr/lib"
        script = f"find {where} -type f -exec cat {{}} + > /dev/null"
        docker_host.run(self.helpers[node], "sh", "-c", script, within_s=_READ_WITHIN_S)

    def size(self, file: str) -> int:
        """Return the bytes of *file*, below the models."""
        return int(docker_host.run(self.helpers[0], "stat", "-c%s", f"{MODELS_MOUNT}/{file}"))

    def cached(self, file: str) -> dict[int, int]:
        """
        Return the bytes of *file*, below the models, that are in the page cache, by node.

        Looked at from the last node, so that Python is first read where the server runs.
        """
        path = f"{MODELS_MOUNT}/{file}"
        argv = ("python3", "-c", _script("cached"), path)
        found = json.loads(
            docker_host.run(self.helpers[max(self.helpers)], *argv, within_s=_READ_WITHIN_S)
        )
        return {int(node): its for node, its in found[path].items()}

    def serve(self, model: str, weights: str, node: int, *, bound: bool) -> Served:
        """Start a server of *model* on *node*, let it generate, measure it, remove it."""
        cpus = self.cpus[node]
        settings = parse_settings(_settings(model, weights), "bench.weights")
        placement = Placement(
            host="bench",
            unit="node",
            number=node,
            nodes=CpuSet.of((node,)),
            ordinal=0,
            cpus=cpus,
            memory_nodes=CpuSet.of((node,)) if bound else None,
            threads=len(cpus),
            port=_PORT,
            address="127.0.0.1",
            published=None,
            weight=1,
            memory_bytes=None,
        )
        files = open_files(settings)
        container = self.client.containers.create(
            self.image,
            list(server_command(settings, placement)),
            environment=list(server_environment()),
            cpuset_cpus=str(cpus),
            cpuset_mems=str(node) if bound else None,
            network_mode="none",
            volumes=_mounted(self.models),
            ulimits=[docker.types.Ulimit(name="nofile", soft=files, hard=files)],
        )
        with docker_host.temporary(container):
            container.start()
            return _measure(container, model)


def _measure(container: Container, model: str) -> Served:
    asked = docker_host.run(
        container,
        *("python3", "-c", _script("generate_once"), str(_PORT), _name(model)),
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
            "names": [_name(model)],
            "single": {"path": model},
        },
    }


def _name(model: str) -> str:
    return model.rsplit("/", 1)[-1]


def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.py").read_text()


def _mounted(models: str) -> dict[str, dict[str, str]]:
    return {models: {"bind": MODELS_MOUNT, "mode": "ro"}}


@contextmanager
def weights_host(client: docker.DockerClient, image: str, models: str) -> Iterator[WeightsHost]:
    """
    Put helpers on the host of *client*; take them away at the end.

    Whoever may use a Docker engine is root on its host, which emptying the page cache takes.
    """
    with ExitStack() as standing:

        def helper(cpus: str, memory_nodes: str) -> Container:
            return standing.enter_context(_helper(client, image, models, cpus, memory_nodes))

        cpus = _cpus_by_node(helper("", ""))
        yield WeightsHost(
            client=client,
            image=image,
            models=models,
            cpus=cpus,
            helpers={node: helper(str(its), str(node)) for node, its in cpus.items()},
        )


@contextmanager
def _helper(
    client: docker.DockerClient, image: str, models: str, cpus: str, memory_nodes: str
) -> Iterator[Container]:
    container = client.containers.create(
        image,
        ["infinity"],
        entrypoint="sleep",
        user="0:0",
        network_mode="none",
        volumes=_mounted(models),
        cpuset_cpus=cpus,
        cpuset_mems=memory_nodes,
    )
    with docker_host.temporary(container):
        container.start()
        yield container


def _cpus_by_node(container: Container) -> dict[int, CpuSet]:
    """Return the CPUs of the NUMA nodes that have some."""
    text = docker_host.run(container, "sh", "-c", f"cd {_NODES} && grep -H . node[0-9]*/cpulist")
    found = (line.removeprefix("node").split("/cpulist:") for line in text.split())
    return {int(node): CpuSet.parse(cpus) for node, cpus in found}
