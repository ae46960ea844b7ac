"""The devserver with its real engine and a real model, in the image that instances run."""

import http.client
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from bench.weights_host import WeightsHost
from images.recipes import context_dir, recipe_hash
from images.stage import stage
from planner.cpuset import CpuSet

pytestmark = pytest.mark.engine

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
QUESTIONS = ("What is the capital of France?", "Name three colours.", "Write 'naïve café 東京'.")

# Runs inside the image: the engine without the server, on the same files.
DIRECT = """
import json, sys
import openvino_genai as genai
scheduler = genai.SchedulerConfig()
scheduler.cache_size = 1
pipeline = genai.ContinuousBatchingPipeline(sys.argv[1], scheduler, "CPU")
config = pipeline.get_config()
config.max_new_tokens = 40
config.apply_chat_template = False
tokenizer = pipeline.get_tokenizer()
for question in sys.argv[2:]:
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
    ids = tokenizer.encode(prompt, add_special_tokens=False).input_ids
    (result,) = pipeline.generate([ids], [config])
    print(json.dumps(tokenizer.decode(result.m_generation_ids[0])))
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running devserver."""

    port: int
    image: str

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
    with _serving(client, image, models) as serving:
        yield serving


@contextmanager
def _serving(client: docker.DockerClient, image: str, models: str) -> Iterator[Server]:
    """A hardened instance on one CPU, over the read-only volume, that nobody has asked yet."""
    container: Container = client.containers.run(
        image,
        ["--config_path", "/models/config.json", "--rest_port", "8000", "--metrics_enable",
         "--rest_workers", "257"],
        detach=True,
        cpuset_cpus="0",
        ports={"8000/tcp": ("127.0.0.1", 0)},
        volumes={models: {"bind": "/models", "mode": "ro"}},
        **HARDENED,
    )  # fmt: skip
    try:
        container.reload()
        server = Server(
            int(container.attrs["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]), image
        )
        _wait_until(lambda: "AVAILABLE" in container.logs().decode(), timeout_s=120)
        yield server
    finally:
        container.remove(force=True)


def test_greedy_text_is_what_the_engine_says_without_the_server(
    client: docker.DockerClient, server: Server, models: str
) -> None:
    output = client.containers.run(
        server.image,
        ["-c", DIRECT, f"/models/{MODEL}", *QUESTIONS],
        entrypoint=["python3"],
        cpuset_cpus="0",
        remove=True,
        volumes={models: {"bind": "/models", "mode": "ro"}},
        **HARDENED,
    )

    direct = [json.loads(line) for line in output.decode().splitlines() if line.startswith('"')]

    assert len(direct) == len(QUESTIONS)
    for question, text in zip(QUESTIONS, direct, strict=True):
        assert server.chat(question)["choices"][0]["message"]["content"] == text
    assert "Paris" in direct[0]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_stream_s_pieces_join_to_the_same_text(server: Server, question: str) -> None:
    lines = server.post(question, stream=True).split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines if "{" in line]

    joined = "".join(event["choices"][0]["delta"]["content"] or "" for event in events)

    assert lines[-2:] == ["data: [DONE]", ""]
    assert joined == server.chat(question)["choices"][0]["message"]["content"]


def test_the_first_requests_may_come_at_once(
    client: docker.DockerClient, image: str, models: str
) -> None:
    with _serving(client, image, models) as server, ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda i: server.chat(f"Say {i}."), range(6)))

    assert all(reply["choices"][0]["finish_reason"] for reply in replies)


def test_four_clients_are_generated_for_in_one_batch(server: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda i: server.chat(f"Say {i}.", ignore_eos=True), range(4)))

    assert [reply["usage"]["completion_tokens"] for reply in replies] == [40] * 4
    assert server.metric("devserver_batch_peak") > 1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
def test_tokens_stop_counting_when_the_client_goes_away(server: Server, *, stream: bool) -> None:
    before = server.metric("devserver_generated_tokens_total")
    connection = server.ask("Go on.", stream=stream, ignore_eos=True, max_tokens=7000)
    _wait_until(lambda: server.metric("devserver_generated_tokens_total") > before + 10)

    connection.close()

    _wait_until(lambda: server.metric("devserver_running_requests") == 0, timeout_s=10)
    after = server.metric("devserver_generated_tokens_total")
    time.sleep(1)
    assert server.metric("devserver_generated_tokens_total") == after
    assert after < before + 7000


def test_a_seed_makes_a_random_answer_repeatable(server: Server) -> None:
    texts = [
        server.chat("Invent a name.", temperature=1.5, seed=seed)["choices"][0]["message"]
        for seed in (1, 1, 2)
    ]

    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_stop_string_ends_the_answer_before_it(server: Server) -> None:
    (choice,) = server.chat("What is the capital of France?", stop=" is")["choices"]

    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "The capital of France"


def test_a_prompt_that_does_not_fit_the_context_is_refused(server: Server) -> None:
    status, text = server.reply("word " * 9000)

    assert status == 400
    assert "exceeds model max length: 8192" in text


def _tar(gguf: Path) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        folder = tarfile.TarInfo(".in")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, 5000, 5000
        archive.addfile(folder)
        archive.add(gguf, f".in/{gguf.name}")
    return made.getvalue()


def _wait_until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {timeout_s} s"
        time.sleep(0.05)


def test_private_weights_are_memory_of_the_server_s_own_and_shared_ones_stay_mapped(
    client: docker.DockerClient, image: str, models: str
) -> None:
    """As OVMS's, by the property ENABLE_MMAP; of private ones only the tokenizers stay mapped."""
    host = WeightsHost(
        client=client, image=image, models=models, cpus={0: CpuSet.of((0,))}, helpers={}
    )

    shared, private = (
        host.serve(MODEL, weights, 0, bound=True).pages.in_mib()
        for weights in ("shared", "private")
    )

    assert shared["model"]["0"] > 20 > 5 > private["model"]["0"]
    more = private["anonymous"]["0"] - shared["anonymous"]["0"]
    less = shared["model"]["0"] - private["model"]["0"]
    assert more == pytest.approx(less, abs=20), "what is not mapped is a copy"
