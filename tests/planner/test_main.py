import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from planner import __main__ as program
from planner.errors import TopologyError
from planner.topology import HostTopology
from tests.planner.worlds import ONE_NODE, TWO_NODES, make_host

SETTINGS = {"hosts": {"box": {"topology": "hosts/box.json"}}}


def write_stack(folder: Path, settings: Any = SETTINGS) -> Path:
    path = folder / "Pulumi.x.yaml"
    path.write_text(yaml.safe_dump({"config": {"ovms-numa:settings": settings}}))
    return path


def write_topology(path: Path, document: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def error_of(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> str:
    status = program.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert status == 1
    assert captured.out == ""
    return captured.err


def test_the_plan_of_a_captured_host_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_topology(tmp_path / "hosts/box.json", make_host(TWO_NODES).to_json())

    status = program.main([str(write_stack(tmp_path))])

    assert status == 0
    assert "box-node1-0  1          4-7   1" in capsys.readouterr().out


def test_another_topology_can_be_planned_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the probe prints can be kept in a file as it is."""
    other = write_topology(tmp_path / "x.json", {"topology": make_host(ONE_NODE).to_json()})

    status = program.main([str(write_stack(tmp_path)), "--topology", str(other)])

    assert status == 0
    assert "box-node0-0  0          0-1   0" in capsys.readouterr().out


def test_this_host_is_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "probe_topology", lambda: make_host(ONE_NODE))

    text = program.plan_text(write_stack(tmp_path, {"hosts": {"box": {}}}))

    assert "box-node0-0  0          0-1   0" in text


def test_the_engines_of_the_hosts_are_printed_without_their_topologies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far = {"docker": "ssh://ops@far", "topology": "hosts/none.json", "address": "10.0.0.2"}
    stack = write_stack(tmp_path, {"hosts": {"near": {}, "far": far}, "balancer": {"host": "near"}})

    status = program.main([str(stack), "--engines"])

    assert status == 0
    assert capsys.readouterr().out == "ssh://ops@far\nunix:///var/run/docker.sock\n"


def test_a_machine_that_does_not_say_its_nodes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> HostTopology:
        raise TopologyError("node* is missing")

    monkeypatch.setattr(program, "probe_topology", fails)

    stack = write_stack(tmp_path, {"hosts": {"box": {}}})
    assert error_of([stack], capsys) == "error: node* is missing\n"


def test_every_fault_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = write_stack(tmp_path, {**SETTINGS, "balancer": {"port": 0}, "rolout": {}})

    assert error_of([stack], capsys) == (
        "error: Pulumi.x.yaml: balancer.port: 0 is below 1, the least there is; write 1 or more\n"
        "error: Pulumi.x.yaml: rolout: unknown key; did you mean rollout\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file or directory. Name a Pulumi.STACK.yaml"),
        ("a: [", "is not YAML: "),
        ("a: 1", "has no settings under config: ovms-numa:settings"),
        ("config: {}", "has no settings under config: ovms-numa:settings"),
        ("- 1", "has no settings under config: ovms-numa:settings"),
        ("", "has no settings under config: ovms-numa:settings"),
    ],
    ids=["no file", "no YAML", "no config", "no settings", "a list", "nothing"],
)
def test_a_stack_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    stack = tmp_path / "Pulumi.y.yaml"
    if text is not None:
        stack.write_text(text)

    error = error_of([stack], capsys)

    assert error.startswith(f"error: {stack} ")
    assert words in error


def test_every_key_that_is_there_twice_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """YAML would take the last one."""
    stack = tmp_path / "Pulumi.y.yaml"
    stack.write_text("config:\n  a: [{b: 1, b: 2}]\n  a: 1\n")

    assert error_of([stack], capsys) == (
        f"error: {stack}: line 2: b is there twice, first in line 2; write it once\n"
        f"error: {stack}: line 3: a is there twice, first in line 2; write it once\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read ([Errno 2] No such file or directory: "),
        ("{", "); make it with `make capture NAME=box`"),
        ("[]", "(top): [] is not an object"),
    ],
    ids=["no file", "no JSON", "a list"],
)
def test_a_topology_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    topology = tmp_path / "hosts/box.json"
    if text is not None:
        topology.parent.mkdir()
        topology.write_text(text)

    error = error_of([write_stack(tmp_path)], capsys)

    assert f"{topology}" in error
    assert words in error


def test_the_module_is_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["planner", str(tmp_path / "none.yaml")])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(program.__file__), run_name="__main__")

    assert ended.value.code == 1
    assert "none.yaml cannot be read" in capsys.readouterr().err
