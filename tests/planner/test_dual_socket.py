"""The machine of OVMS's scaling demo as a stack: what is planned and rendered for it."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from planner.__main__ import main, plan_text
from planner.nginx import render_nginx
from planner.placement import plan
from planner.server import server_command
from planner.settings import Settings, parse_settings
from planner.stack_file import stack_settings
from planner.topology import HostTopology

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "dual-socket"
STACK_FILE = ROOT / "Pulumi.dual-socket.yaml"
HOST_FILE = ROOT / "hosts" / "dual-socket.json"

# The variant stands in the file as a section that is commented out: "#single:" and "#  key: ...".
VARIANT = re.compile(r"^( *)#(single:|  [a-z-]+: )", re.MULTILINE)


def topology() -> HostTopology:
    return HostTopology.from_json(json.loads(HOST_FILE.read_text())["topology"], HOST_FILE.name)


def settings_of(text: str) -> Settings:
    return parse_settings(stack_settings(text, STACK_FILE.name), STACK_FILE.name)


def command_lines(settings: Settings) -> str:
    placements = plan(settings, {"dual-socket": topology()}).placements
    return "\n".join(
        "\n".join((f"{one.name}:", *(f"  {word}" for word in server_command(settings, one)))) + "\n"
        for one in placements
    )


def test_the_plan_is_made_without_reaching_the_host_or_a_registry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)

    assert main([str(STACK_FILE)]) == 0
    assert capsys.readouterr().out == (GOLDEN / "plan.txt").read_text()


@pytest.mark.parametrize(
    "words",
    [
        "placement.smt is siblings",
        "every core of host dual-socket runs an instance",
        "the balancer floats",
        "server.image is openvino/model_server:2026.3, by tag",
        "balancer.image is nginx:1.30, by tag",
        "balancer.address is 0.0.0.0",
    ],
)
def test_the_plan_warns_of_what_the_demo_leaves_open(words: str) -> None:
    assert f"note: {words}" in plan_text(STACK_FILE)


def test_the_command_lines_are_the_golden_ones() -> None:
    settings = settings_of(STACK_FILE.read_text())

    assert command_lines(settings) == (GOLDEN / "commands.txt").read_text()


def test_the_command_lines_of_one_model_are_the_golden_ones() -> None:
    variant = settings_of(VARIANT.sub(r"\1\2", STACK_FILE.read_text()))

    assert variant.models.single is not None
    assert command_lines(variant) == (GOLDEN / "commands-single.txt").read_text()


def test_the_configuration_of_nginx_is_the_golden_one() -> None:
    settings = settings_of(STACK_FILE.read_text())

    text = render_nginx(
        settings.balancer,
        drain_timeout_s=settings.rollout.drain_timeout_s,
        max_concurrency=settings.server.max_concurrency,
    )

    assert text == (GOLDEN / "nginx.conf").read_text()


def test_the_topology_says_that_it_was_not_captured() -> None:
    note = json.loads(HOST_FILE.read_text())["note"]

    assert note.startswith("Not captured: constructed from the lscpu lines")
    assert "invented" in note


def test_the_topology_is_the_one_of_the_demo() -> None:
    host = topology()

    assert [str(node.cpus) for node in host.nodes] == ["0-31,64-95", "32-63,96-127"]
    assert [node.distances for node in host.nodes] == [(10, 21), (21, 10)]
    assert [sorted(core.cpus) for core in host.cores] == [[cpu, cpu + 64] for cpu in range(64)]
    assert {core.package for core in host.cores} == {0, 1}


def test_the_salt_is_the_one_of_the_dev_stack() -> None:
    """Both are for the empty passphrase, so that a preview in review needs no secret."""
    dev = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    dual_socket = yaml.safe_load(STACK_FILE.read_text())

    assert dual_socket["encryptionsalt"] == dev["encryptionsalt"]
