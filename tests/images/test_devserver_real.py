"""The devserver with its real engine and a real model, in the image that instances run."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from bench.weights_host import WeightsHost
from planner.cpuset import CpuSet
from tests.images.served import (
    HARDENED,
    MODEL,
    Server,
    client,
    image,
    models,
    server,
    serving,
    wait_until,
)

__all__ = ["client", "image", "models", "server"]

pytestmark = pytest.mark.engine

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
    with serving(client, image, models) as fresh, ThreadPoolExecutor(6) as pool:
        replies = list(pool.map(lambda i: fresh.chat(f"Say {i}."), range(6)))

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
    wait_until(lambda: server.metric("devserver_generated_tokens_total") > before + 10)

    connection.close()

    wait_until(lambda: server.metric("devserver_running_requests") == 0, timeout_s=10)
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

    assert shared["model"]["0"] > 20 > 10 > private["model"]["0"]
    more = private["anonymous"]["0"] - shared["anonymous"]["0"]
    less = shared["model"]["0"] - private["model"]["0"]
    assert more == pytest.approx(less, abs=20), "what is not mapped is a copy"
