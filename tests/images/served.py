"""A container of the devserver, with its real engine and model, in the image of the stack."""

import http.client
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from images.recipes import context_dir, recipe_hash
from images.stage import stage

ROOT = Path(__file__).parents[2]
NAME = "devserver-under-test"
MODEL = "smollm2-135m-instruct"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "user": "5000:5000",
    "tmpfs": {"/tmp": ""},  # noqa: S108
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running devserver."""

    port: int
    image: str
    container: Container

    def chat(self, question: str, **fields: object) -> Any:
        """Ask without streaming; return the answer."""
        return json.loads(self.post(question, **fields))

    def post(self, question: str, **fields: object) -> str:
        """Ask; return the body of an answer that must be 200."""
        status, text = self.reply(question, **fields)
        assert status == 200, text
        return text

    def reply(self, question: str, **fields: object) -> tuple[int, str]:
        """Ask; return the status and the body."""
        connection = self.ask(question, **fields)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def ask(self, question: str, **fields: object) -> http.client.HTTPConnection:
        """Send a question and return at once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        messages = [{"role": "user", "content": question}]
        body = {"model": MODEL, "temperature": 0, "max_tokens": 40, "messages": messages, **fields}
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v3/chat/completions", json.dumps(body).encode(), headers)
        return connection

    def metric(self, name: str) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.search(rf"^{name}\{{.*\}} (\S+)$", text, re.M)
        return float(found.group(1)) if found else 0.0


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    connected = docker.from_env(timeout=300)
    yield connected
    connected.close()


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> Iterator[str]:
    """The devserver's image, built as the program builds it."""
    tags: list[str] = []
    for recipe in ("base", "devserver"):
        stage(recipe, ROOT)
        tags.append(f"{NAME}/{recipe}:{recipe_hash(recipe)}")
        context = ROOT / context_dir(recipe)
        client.images.build(path=str(context), tag=tags[-1], buildargs={"BASE": tags[0]}, rm=True)
    yield tags[1]
    for tag in reversed(tags):
        client.images.remove(tag)


@pytest.fixture(scope="module")
def models(client: docker.DockerClient, image: str) -> Iterator[str]:
    """A volume with the converted model."""
    stage("model", ROOT)
    volume = client.volumes.create()
    converter = client.containers.create(
        image,
        ["-m", "devserver.convert", "--gguf", f"/models/.in/{GGUF}", "--output", "/models",
         "--name", MODEL],
        entrypoint=["python3"],
        network_mode="none",
        volumes={volume.name: {"bind": "/models", "mode": "rw"}},
        **HARDENED,
    )  # fmt: skip
    try:
        converter.put_archive("/models", _tar(ROOT / context_dir("model") / GGUF))
        for said in ("converted", "already there"):
            converter.start()
            assert converter.wait()["StatusCode"] == 0, converter.logs().decode()
            assert converter.logs().decode().splitlines()[-1] == f"{MODEL}: {said}"
        yield volume.name
    finally:
        converter.remove(force=True)
        volume.remove(force=True)


@pytest.fixture(scope="module")
def server(client: docker.DockerClient, image: str, models: str) -> Iterator[Server]:
    with serving(client, image, models) as started:
        yield started


@contextmanager
def serving(
    client: docker.DockerClient, image: str, models: str, *, config: str = ""
) -> Iterator[Server]:
    """
    A hardened instance on one CPU, over the read-only volume, that nobody has asked yet.

    With the text of a *config* instead of the volume's config.json.
    """
    start, path = 'exec python3 -m devserver "$@"', "/models/config.json"
    if config:
        path = "/tmp/config.json"  # noqa: S108
        start = f"echo '{config}' > {path}; {start}"
    container: Container = client.containers.run(
        image,
        ["--config_path", path, "--rest_port", "8000", "--metrics_enable",
         "--rest_workers", "257"],
        entrypoint=["sh", "-c", start, "devserver"],
        detach=True,
        cpuset_cpus="0",
        ports={"8000/tcp": ("127.0.0.1", 0)},
        volumes={models: {"bind": "/models", "mode": "ro"}},
        **HARDENED,
    )  # fmt: skip
    try:
        container.reload()
        server = Server(
            int(container.attrs["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]),
            image,
            container,
        )
        wait_until(lambda: "AVAILABLE" in container.logs().decode(), timeout_s=120)
        yield server
    finally:
        container.remove(force=True)


def _tar(gguf: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        folder = tarfile.TarInfo(".in")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, 5000, 5000
        archive.addfile(folder)
        archive.add(gguf, f".in/{gguf.name}")
    return made.getvalue()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {timeout_s} s"
        time.sleep(0.05)
