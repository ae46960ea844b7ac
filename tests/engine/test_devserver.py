"""The stand-in for OVMS: the same engine gives the same text, batched, and stops when told."""

import http.client
import json
import time
import urllib.request

import pytest

from tests.engine.load import clients
from tests.engine.stack import Stack
from tests.engine.test_rollout import _wait_until
from tests.engine.test_up import INSTANCES, MODEL

pytestmark = pytest.mark.engine

PROMPT = "The capital of France is"
TOKENS = 24

# Runs inside the instance's container, beside the server, on the same files.
DIRECT = f"""
import openvino_genai as genai
pipeline = genai.ContinuousBatchingPipeline(
    "/workspace/{MODEL}", genai.SchedulerConfig(), "CPU", {{"INFERENCE_NUM_THREADS": 1}}
)
config = genai.GenerationConfig(max_new_tokens={TOKENS}, do_sample=False, apply_chat_template=False)
print(pipeline.generate(["{PROMPT}"], [config])[0].m_generation_ids[0], end="")
"""


def _instance(stack: Stack) -> tuple[str, int]:
    row = stack.outputs()["plan"][0]
    return row["address"], row["port"]


def _metric(stack: Stack, name: str) -> float:
    address, port = _instance(stack)
    with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def _post(stack: Stack, path: str, body: dict[str, object]) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(*_instance(stack), timeout=120)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return connection


def test_its_greedy_text_is_that_of_openvino_genai_called_directly(stack: Stack) -> None:
    container = stack.container(INSTANCES[0])
    status, direct = container.exec_run(["python3", "-c", DIRECT])
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0}

    connection = _post(stack, "/v3/completions", body)
    answer = json.loads(connection.getresponse().read())
    connection.close()

    assert status == 0, direct.decode()
    assert answer["choices"][0]["text"] == direct.decode()
    assert answer["usage"]["completion_tokens"] == TOKENS


def test_more_than_one_request_runs_at_once_under_four_clients(stack: Stack) -> None:
    address, port = _instance(stack)

    with clients(f"http://{address}:{port}/v3", MODEL, count=4):
        _wait_until(lambda: _metric(stack, "ovms_current_graphs") > 1)
        _wait_until(lambda: _metric(stack, "devserver_batch_peak") > 1)


def test_tokens_stop_counting_after_a_disconnect(stack: Stack) -> None:
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 4000, "ignore_eos": True}
    connection = _post(stack, "/v3/completions", {**body, "stream": True})
    assert connection.getresponse().read(100)
    before = _metric(stack, "devserver_generated_tokens_total")
    _wait_until(lambda: _metric(stack, "devserver_generated_tokens_total") > before + 5)

    connection.close()

    _wait_until(lambda: _metric(stack, "ovms_current_graphs") == 0, timeout_s=5)
    after = _metric(stack, "devserver_generated_tokens_total")
    time.sleep(1)  # what would have been some sixty tokens
    assert _metric(stack, "devserver_generated_tokens_total") == after


def test_it_never_passes_for_ovms(stack: Stack) -> None:
    address, port = _instance(stack)
    with urllib.request.urlopen(f"http://{address}:{port}/v2", timeout=10) as reply:
        name = json.loads(reply.read())["name"]

    assert name == "ovms-numa devserver"
    assert "not OpenVINO Model Server" in stack.container(INSTANCES[0]).logs().decode()
