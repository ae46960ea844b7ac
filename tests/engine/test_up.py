"""From nothing to a served, pinned, proven stack; and nothing to do after that."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from lifecycle import proof
from tests.engine.stack import Run, Stack

pytestmark = pytest.mark.engine

INSTANCES = ("local-node0-0", "local-node0-1")
MODEL = "smollm2-135m-instruct"
NUMA_MAPS = Path("/proc/self/numa_maps")


def test_up_from_nothing_makes_two_proven_instances(created: tuple[Stack, Run]) -> None:
    stack, run = created

    outputs = stack.outputs()
    assert set(INSTANCES) <= set(run.names("create"))
    for row in outputs["plan"]:
        proven = outputs["placements"][row["instance"]]
        lists = ("instance", "cpus", "memory_nodes")
        assert {key: proven[key] for key in lists} == {key: row[key] for key in lists}


@pytest.mark.skipif(not NUMA_MAPS.exists(), reason="this kernel does not tell pages by node")
def test_where_the_memory_lies_is_measured_and_exported(created: tuple[Stack, Run]) -> None:
    """On one node all of it is local; the model's weights stay mapped, or were compiled."""
    stack, _ = created

    for proven in stack.outputs()["placements"].values():
        memory = proven["memory_mib"]
        assert proven["local_share"] == 1.0
        assert list(memory["anonymous"]) == [proven["memory_nodes"]]
        assert memory["anonymous"]["0"] > 100
        assert memory["libraries"]["0"] > 20


def test_what_the_kernel_enforces_is_what_was_planned(created: tuple[Stack, Run]) -> None:
    stack, _ = created

    for row in stack.outputs()["plan"]:
        container = stack.container(row["instance"])
        status = container.exec_run(["cat", "/proc/1/status"]).output.decode()
        config = container.attrs["HostConfig"]

        found = proof.read(container, row["port"])

        assert f"Cpus_allowed_list:\t{row['cpus']}\n" in status
        assert f"Mems_allowed_list:\t{row['memory_nodes']}\n" in status
        assert (config["CpusetCpus"], config["CpusetMems"]) == (row["cpus"], row["memory_nodes"])
        assert found.faults(row["cpus"], row["memory_nodes"]) == ()
        assert found.tasks > 1


def test_a_second_up_and_a_preview_have_nothing_to_do(created: tuple[Stack, Run]) -> None:
    stack, _ = created

    up = stack.up("--expect-no-changes")
    preview = stack.nothing_to_do()

    assert up.status == 0, up.output
    assert (up.changed(), preview.changed()) == ([], [])


def test_preview_shows_the_plan(created: tuple[Stack, Run]) -> None:
    stack, _ = created

    output = stack.preview().output

    assert "local-node0-1  0          1     0" in output
    assert "warning:" not in output


def test_the_openai_client_gets_an_answer(endpoint: str) -> None:
    client = openai.OpenAI(base_url=endpoint, api_key="unused", max_retries=0)

    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=30,
        temperature=0,
    )

    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_the_openai_client_streams_the_same_answer(endpoint: str) -> None:
    client = openai.OpenAI(base_url=endpoint, api_key="unused", max_retries=0)
    question: list[openai.types.chat.ChatCompletionMessageParam] = [
        {"role": "user", "content": "What is the capital of France?"}
    ]
    whole = client.chat.completions.create(
        model=MODEL, messages=question, max_tokens=30, temperature=0
    )

    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=question,
            max_tokens=30,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 5


@pytest.mark.parametrize("path", ["/v1/config", "/metrics", "/v2/health/ready", "/v3/other"])
def test_paths_that_are_not_served_end_at_the_balancer(endpoint: str, path: str) -> None:
    """OVMS would let anyone reload its configuration."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()

    assert response.status == 404
    assert json.loads(response.read())["error"]["message"] == "not served here"
    connection.close()
