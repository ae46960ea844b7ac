"""The devserver's processes, one that serves and one that computes for each model, in the image."""

import json
import os
import signal

import docker
import pytest

from lifecycle import proof
from tests.images.served import MODEL, Server, client, image, models, server, serving, wait_until

__all__ = ["client", "image", "models", "server"]

pytestmark = pytest.mark.engine


def test_a_step_keeps_no_other_answer_waiting(server: Server) -> None:
    """The process that computes is stopped, as in a step that does not end."""
    before = server.metric("devserver_generated_tokens_total")
    connection = server.ask("Go on.", ignore_eos=True, max_tokens=200)
    wait_until(lambda: server.metric("devserver_generated_tokens_total") > before)
    computing = _computing(server)

    os.kill(computing, signal.SIGSTOP)
    made = server.metric("devserver_generated_tokens_total")
    others = [server.ask("Who are you?", max_tokens=4) for _ in range(3)]
    wait_until(lambda: server.metric("devserver_running_requests") == 4)
    assert server.metric("devserver_generated_tokens_total") == made < before + 200
    os.kill(computing, signal.SIGCONT)

    for asked in (connection, *others):
        assert asked.getresponse().status == 200
        asked.close()


def test_the_end_of_what_computes_is_the_end_of_the_server(
    client: docker.DockerClient, image: str, models: str
) -> None:
    with serving(client, image, models) as server:
        connection = server.ask("Go on.", ignore_eos=True, max_tokens=7000)
        wait_until(lambda: server.metric("devserver_generated_tokens_total") > 0)

        os.kill(_computing(server), signal.SIGKILL)

        assert server.container.wait(timeout=60)["StatusCode"] == 1
        assert "the engine ended; every request is lost" in server.container.logs().decode()
        connection.close()


def test_the_proof_sees_what_computes(server: Server) -> None:
    asked = proof.read(server.container, 8000)

    assert asked.faults("0", None) == ()
    assert asked.pages is not None
    assert asked.pages.in_mib()["anonymous"]["0"] > 200, "the cache and the copied weights"


def _computing(server: Server) -> int:
    """The number of the process that nothing else was forked from: a child's child."""
    top = server.container.top()
    pid, parent = (top["Titles"].index(title) for title in ("PID", "PPID"))
    parents = {row[pid]: row[parent] for row in top["Processes"]}
    (computing,) = set(parents) - set(parents.values())
    return int(computing)


def test_each_model_is_computed_apart_and_answers(
    client: docker.DockerClient, image: str, models: str
) -> None:
    """The second is loaded when the first is in use already."""
    entries = [{"config": {"name": name, "base_path": f"/models/{MODEL}"}} for name in "ab"]
    config = json.dumps({"model_config_list": entries})
    with serving(client, image, models, config=config) as server:
        wait_until(lambda: server.container.logs().decode().count("AVAILABLE") == 2)

        texts = {name: server.chat("Name a colour.", model=name) for name in "ab"}

        assert texts["a"]["choices"] == texts["b"]["choices"]
        assert [texts[name]["model"] for name in "ab"] == ["a", "b"]
        first = str(server.container.attrs["State"]["Pid"])
        top = server.container.top()
        pid, parent = (top["Titles"].index(title) for title in ("PID", "PPID"))
        (forking,) = [row[pid] for row in top["Processes"] if row[parent] == first]
        assert sum(row[parent] == forking for row in top["Processes"]) == 2
