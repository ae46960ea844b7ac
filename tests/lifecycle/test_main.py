import io
import json
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import requests

from lifecycle.__main__ import main
from lifecycle.probe import probe_topology
from planner.topology import HostTopology
from tests.lifecycle.docker_double import refusal
from tests.lifecycle.local_server import LocalServer, serve
from tests.lifecycle.stack_double import write_stack_file
from tests.lifecycle.test_spec import PREPARE, PUSH
from tests.lifecycle.world import BALANCER, CONTAINER, MODEL, NAME, World, activation
from tests.planner.worlds import TWO_NODES, make_host, sysfs_of

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> "Tell":
    return Tell(monkeypatch)


class Tell:
    """Runs an action with a spec on its standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, action: str, spec: object) -> int:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(spec)))
        return main([action])


def test_an_activation_prints_its_proof_and_tells_its_steps_aside(
    world: World, tell: Tell, capsys: Captured
) -> None:
    assert tell("activate", activation(port=world.server.port)) == 0

    out, err = capsys.readouterr()
    memory = '{"anonymous": {"0": 4}, "libraries": {}, "model": {"0": 2}}'
    assert out == (
        f'{{"cpus": "0", "instance": "{NAME}", "local_share": 1.0, "memory_mib": {memory}, '
        '"memory_nodes": "0"}\n'
    )
    assert err.splitlines()[0] == f"{NAME}: bound to CPUs 0, memory 0"


def test_a_drain_prints_what_it_cut(world: World, tell: Tell, capsys: Captured) -> None:
    world.serve_as_planned()

    assert tell("drain", activation(port=world.server.port)) == 0

    assert json.loads(capsys.readouterr().out) == {"instance": NAME, "cut": 0}


def test_a_push_prints_its_balancer(world: World, tell: Tell, capsys: Captured) -> None:
    assert tell("push", PUSH) == 0

    out, err = capsys.readouterr()
    assert json.loads(out) == {"balancer": BALANCER}
    assert err == f"{BALANCER}: configuration loaded\n{BALANCER}: runs\n"
    assert world.calls == [f"{BALANCER}: copy in"]


def test_a_step_that_fails_is_exit_status_1_and_its_message(
    world: World, tell: Tell, capsys: Captured
) -> None:
    world.engine.machines.clear()

    assert tell("activate", activation()) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{NAME}: finding its container: there is no container {CONTAINER}.\n")


def test_a_model_that_is_not_staged_is_exit_status_1(
    world: World, tell: Tell, capsys: Captured, tmp_path: Path
) -> None:
    assert tell("prepare", {**PREPARE, "source": str(tmp_path / "nowhere")}) == 1
    assert "volume: preparing the model: nothing is staged" in capsys.readouterr().err
    assert world.calls == []


def test_whatever_docker_refuses_is_exit_status_1_and_no_traceback(
    world: World, tell: Tell, capsys: Captured
) -> None:
    """Here: a container that somebody removes while it is being stopped."""
    world.instance.refusals["stop"] = refusal(f"No such container: {CONTAINER}", 404)

    assert tell("activate", activation(port=world.server.port)) == 1

    assert capsys.readouterr().err.endswith(
        f"{NAME}: bringing it into service: Docker refuses a call: No such container: "
        f"{CONTAINER}.\n"
        "  What to do: mend what the message names; the Docker daemon's log may say more, then run "
        "`pulumi up` again.\n"
    )


@pytest.mark.parametrize(
    ("action", "spec", "begins"),
    [
        ("activate", activation(), f"{NAME}: bringing it into service"),
        ("drain", activation(), f"{NAME}: taking it out of service"),
        ("push", PUSH, f"{BALANCER}: loading the balancer's configuration"),
    ],
    ids=["activate", "drain", "push"],
)
def test_an_engine_that_goes_away_is_told_with_whom_and_what(
    world: World, tell: Tell, capsys: Captured, action: str, spec: object, begins: str
) -> None:
    cut = requests.exceptions.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    for machine in world.engine.machines.values():
        machine.refusals |= dict.fromkeys(("copy in", "stop"), cut)

    assert tell(action, spec) == 1

    message = capsys.readouterr().err
    assert message.count("Connection refused") == 1
    assert (
        f"{begins}: Docker at unix:///var/run/docker.sock does not answer any more (Connection "
        "refused).\n  What to do: start it again" in message
    )


@pytest.mark.parametrize("action", ["activate", "drain", "push", "prepare"])
def test_a_spec_of_another_shape_is_exit_status_1_and_names_the_key(
    tell: Tell, capsys: Captured, action: str
) -> None:
    assert tell(action, {"version": 1, "wieght": 1}) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"the spec on standard input is not one of {action}: ")
    assert "wieght" in err


@pytest.mark.parametrize("text", ["", "{"], ids=["nothing", "half JSON"])
def test_a_spec_that_is_no_json_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, text: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    assert main(["drain"]) == 1
    assert "is not one of drain" in capsys.readouterr().err


def test_a_probe_prints_a_topology_that_reads_back(tmp_path: Path, capsys: Captured) -> None:
    for path, text in sysfs_of(TWO_NODES).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert main(["probe", "--sysroot", str(tmp_path)]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert HostTopology.from_json(printed) == make_host(TWO_NODES)


def test_a_probe_of_a_tree_that_lacks_something_names_it_aside(
    tmp_path: Path, capsys: Captured
) -> None:
    for path, text in sysfs_of(TWO_NODES).items():
        if not path.endswith("meminfo"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)

    assert main(["probe", "--sysroot", str(tmp_path)]) == 0

    out, err = capsys.readouterr()
    assert [node["memory_bytes"] for node in json.loads(out)["nodes"]] == [None, None]
    assert [line.split(" ")[0] for line in err.splitlines()] == [
        "sys/devices/system/node/node0/meminfo",
        "sys/devices/system/node/node1/meminfo",
    ]


def test_a_probe_of_this_machine_prints_its_topology(capsys: Captured) -> None:
    assert main(["probe"]) == 0

    assert HostTopology.from_json(json.loads(capsys.readouterr().out)) == probe_topology()


def test_a_probe_that_finds_nothing_is_exit_status_1(tmp_path: Path, capsys: Captured) -> None:
    assert main(["probe", "--sysroot", str(tmp_path)]) == 1

    assert "sys/devices/system/cpu is not there" in capsys.readouterr().err


def test_every_identity_is_another_one(capsys: Captured) -> None:
    assert main(["identity"]) == main(["identity"]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert len(first) == 32
    assert first != second


def asked(question: str, capsys: Captured, folder: Path) -> tuple[str, str, LocalServer]:
    """Ask a stack; return what was printed, its endpoint, and what it received."""
    answers = {
        "GET /v3/models": [(200, json.dumps({"data": [{"id": MODEL}]}))],
        "POST /v3/chat/completions": [
            (200, '{"choices": [{"message": {"content": "It is Paris."}}]}')
        ],
    }
    with serve(LocalServer(answers=dict(answers))) as stack:
        endpoint = f"http://127.0.0.1:{stack.port}/v3"
        assert main(["ask", str(write_stack_file(folder)), endpoint, question]) == 0
    return capsys.readouterr().out, endpoint, stack


def test_a_question_prints_a_line_to_repeat_it_and_the_answer(
    capsys: Captured, tmp_path: Path
) -> None:
    out, endpoint, stack = asked("What is the capital of France?", capsys, tmp_path)

    head, curl, question, answer = out.splitlines()
    assert head == "Ask it yourself:"
    assert shlex.split(curl)[:3] == ["curl", "-s", f"{endpoint}/chat/completions"]
    assert shlex.split(curl)[-1] == stack.bodies[-1]
    assert (question, answer) == ("Q: What is the capital of France?", "A: It is Paris.")


def test_the_line_to_repeat_a_question_holds_whatever_the_question_holds(
    capsys: Captured, tmp_path: Path
) -> None:
    out, _, stack = asked("What's $HOME?", capsys, tmp_path)

    assert shlex.split(out.splitlines()[1])[-1] == stack.bodies[-1]


def test_a_stack_that_does_not_answer_is_exit_status_1(capsys: Captured, tmp_path: Path) -> None:
    with serve(LocalServer(answers={})) as gone:
        pass

    file = str(write_stack_file(tmp_path))
    assert main(["ask", file, f"http://127.0.0.1:{gone.port}/v3", "Why?"]) == 1
    assert "asking a question: no answer (" in capsys.readouterr().err


def test_an_action_that_there_is_not_is_refused_with_those_that_there_are(
    capsys: Captured,
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explode"])

    assert ended.value.code == 2
    assert "activate" in capsys.readouterr().err


def test_the_module_ends_with_the_status_of_its_action(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["lifecycle", "probe", "--sysroot", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "lifecycle.__main__")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("lifecycle", run_name="__main__")

    assert ended.value.code == 1
