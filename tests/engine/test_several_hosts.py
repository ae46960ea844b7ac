"""
One stack on two hosts: this machine, which has the balancer, and a Docker engine of the tests' own.

That one has a network of its own, joined to this machine's, and so is a second host. The tests
follow each other, from a stack of one host to one that forgot the other.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lifecycle.balancer_config import read_all
from tests.engine.load import clients, wait_until
from tests.engine.operator import Done, Operator, asked, run_module, table_rows
from tests.engine.private_daemon import PrivateDaemon, require, running
from tests.engine.stack import Stack
from tests.engine.test_up import MODEL

pytestmark = pytest.mark.engine

NEAR, FAR = "near-node0-0", "far-node0-0"
ADDRESS = "10.123.0.2"
PUBLISHED = f"{ADDRESS}:8000"
Changes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDaemon]:
    """The engine of the second host."""
    require()
    folder = tmp_path_factory.mktemp("engine")
    daemon = PrivateDaemon(name="ovms-numa-far", folder=folder, disk_mib=2048, address=ADDRESS)
    with running(daemon):
        yield daemon


@pytest.fixture(scope="module")
def both(daemon: PrivateDaemon) -> Changes:
    """The settings' change that adds the second host."""
    far = {"docker": daemon.url, "subnet": "172.30.121.0/24", "address": ADDRESS}
    return {"hosts": {"far": far}}


@pytest.fixture(scope="module")
def stack(daemon: PrivateDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on this machine alone, which serves."""
    stack = Stack(
        name="hosts",
        folder=tmp_path_factory.mktemp("stack"),
        settings={
            "hosts": {"near": {"subnet": "172.30.120.0/24"}},
            "placement": {"cores-per-instance": 1, "cpu-sharing": "allowed"},
            "balancer": {"host": "near", "port": 18100, "keepalive-min-timeout-s": 1},
            "rollout": {"start-timeout-s": 120, "drain-timeout-s": 60, "stop-timeout-s": 5},
        },
    )
    stack.clear()
    try:
        run = stack.up()
        assert run.status == 0, run.output
        yield stack
    finally:
        daemon.start_again()
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []


def test_a_second_host_touches_nothing_of_the_first(stack: Stack, both: Changes) -> None:
    before = {name: stack.container(name).id for name in (NEAR, "balancer")}
    member = _members(stack)[NEAR]
    stack.configure(both)

    preview = stack.preview()
    run = stack.up()

    assert run.status == 0, run.output
    assert {step.op for step in preview.changed()} == {"create"}
    assert all(re.match("(docker-)?far", step.name) for step in preview.changed())
    assert set(preview.names("create")) == set(run.names("create"))
    assert {name: stack.container(name).id for name in before} == before
    assert _members(stack)[NEAR] == member
    stack.nothing_to_do()


def test_instances_of_both_hosts_answer_behind_one_endpoint(stack: Stack) -> None:
    load = asked(_endpoint(stack), count=12)

    assert load.failures == []
    assert {at.rpartition(".")[2] for at in load.answers} == {"16:8000", "2:8000"}
    assert PUBLISHED in load.answers
    assert set(_members(stack)) == {NEAR, FAR}, "on the host that has the balancer"


def test_an_instance_elsewhere_is_published_on_the_private_address_only(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    far = daemon.client().containers.get(f"{stack.prefix}-{FAR}")
    listing = subprocess.run(
        [*daemon.enter, "ss", "-Hltn"], check=True, capture_output=True, text=True
    )

    listening = [line.split()[3] for line in listing.stdout.splitlines()]
    assert far.ports == {"8000/tcp": [{"HostIp": ADDRESS, "HostPort": "8000"}]}
    assert listening == [PUBLISHED]
    assert not stack.container(NEAR).ports


def test_an_instance_elsewhere_is_judged_by_the_balancer_s_files(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    edited = stack.container("balancer").exec_run(
        ["sed", "-i", "s/weight=1/weight=7/", f"/etc/ovms-numa/current/members/{FAR}.conf"]
    )
    assert edited.exit_code == 0

    seen = stack.preview()
    daemon.client().containers.get(f"{stack.prefix}-{FAR}").remove(force=True)
    gone = stack.preview()
    run = stack.up()

    assert seen.names("update") == [f"{FAR}-activation"]
    assert f"drift: {FAR} had its member file in the balancer edited by hand" in seen.output
    assert f"drift: {FAR} is gone" in gone.output
    assert run.status == 0, run.output
    assert all(step.name.startswith(FAR) or step.op == "update" for step in run.changed())
    stack.nothing_to_do()


def test_the_commands_look_at_all_hosts(stack: Stack) -> None:
    operator = Operator(stack)

    shown = operator("status")
    lines = operator("logs", "--lines", "1").output.splitlines()
    closed = operator("cordon", "--instance", FAR)
    preview = stack.nothing_to_do()
    answered = asked(_endpoint(stack))
    opened = operator("uncordon", "--instance", FAR)

    rows = table_rows(shown.output)
    assert (shown.status, list(rows)) == (0, [FAR, NEAR, "balancer"])
    assert rows[FAR][1:6] == ["0", "0", "0", "0", "0"]
    assert shown.output.endswith("\n2 of 2 instances serve at http://127.0.0.1:18100\n")
    assert [line.split()[0] for line in lines] == [FAR, NEAR, "balancer"]
    assert closed.output.startswith(f"{FAR} is cordoned; 1 of 2 instances is open;")
    assert f"cordoned: {FAR}\n" in preview.output
    assert PUBLISHED not in answered.answers
    assert opened.output == f"{FAR} is open again; 2 of 2 instances are open\n"


ROLLED: Changes = {"server": {"log-level": "WARNING"}}
CHANGED: Changes = {"balancer": {"read-timeout-s": 333}, "server": {"log-level": "DEBUG"}}


def test_a_change_rolls_host_by_host_and_loses_no_request(stack: Stack, both: Changes) -> None:
    stack.configure({**both, **ROLLED})
    with clients(_endpoint(stack), MODEL, count=4) as load:
        wait_until(lambda: len(load.answers) == 2)
        run = stack.up()

    touched = [step.name.removesuffix("-activation") for step in run.changed()]
    half = len(touched) // 2
    assert run.status == 0, run.output
    assert (set(touched[:half]), set(touched[half:])) == ({FAR}, {NEAR})
    assert load.failures == []


def test_a_host_that_is_not_reached_comes_last_and_fails_in_words(
    stack: Stack, daemon: PrivateDaemon, both: Changes
) -> None:
    before = stack.container(NEAR).id
    daemon.stop()
    stack.configure({**both, **ROLLED})
    quiet = stack.preview("--expect-no-changes")
    stack.configure({**both, **CHANGED})

    run = stack.up()

    shown = Operator(stack)("status")
    url = daemon.url
    assert quiet.status == 0, quiet.output
    assert f"not looked at: {url}: connecting to Docker: no engine answers" in quiet.output
    assert run.status != 0
    assert f"{FAR}: taking it out of service: its host is not reached: {url}: no " in run.output
    assert "`make forget HOST=far STACK=NAME`" in run.output
    assert stack.container(NEAR).id != before
    assert {"balancer-pushed", f"{NEAR}-activation"} <= set(
        run.names("update", "create-replacement")
    )
    assert not [step for step in run.changed() if step.name.startswith("far-node")]
    assert shown.status == 1
    assert f"not looked at: far: {url}: " in shown.output
    assert "\n1 of 1 instances serves at " in shown.output


def test_the_next_update_that_reaches_the_host_finishes_it(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    daemon.start()

    run = stack.up()

    assert run.status == 0, run.output
    assert {step.name for step in run.changed()} == {FAR, f"{FAR}-activation"}
    stack.nothing_to_do()
    assert PUBLISHED in asked(_endpoint(stack), count=12).answers


def test_without_the_balancer_s_host_nothing_is_touched(stack: Stack, both: Changes) -> None:
    lost = {**stack.settings["hosts"]["near"], "docker": "unix:///run/no-such.sock"}
    stack.configure({**CHANGED, "hosts": {**both["hosts"], "near": lost}})

    run = stack.up()

    assert run.status != 0
    assert "the balancer runs there, and without it no instance of any host can be" in run.output
    assert [step for step in run.changed() if "ovms-numa-hosts" not in step.name] == []


def test_a_host_that_answers_and_the_one_with_the_balancer_are_not_forgotten(
    stack: Stack,
) -> None:
    living, front, unknown = (_forget(stack, name) for name in ("far", "near", "there"))

    assert (living.status, front.status, unknown.status) == (1, 1, 1)
    assert "its Docker engine answers at unix://" in living.error
    assert "take far out of the stack's settings and run `make up STACK=hosts`" in living.error
    assert "the balancer runs there" in front.error
    assert "the state has no such host; it has far, near" in unknown.error


def test_a_dead_host_is_forgotten_and_the_others_serve_on(
    stack: Stack, daemon: PrivateDaemon, both: Changes
) -> None:
    stack.configure({**both, **CHANGED})
    daemon.stop()

    done = _forget(stack, "far")

    members = set(_members(stack))
    stack.configure(CHANGED)
    assert done.status == 0, done.error
    assert done.output.splitlines() == [
        f"hosts: took {FAR} out of the balancer",
        "hosts: took 15 resources of far out of the state",
    ]
    assert members == {NEAR}
    stack.nothing_to_do()
    load = asked(_endpoint(stack))
    assert (load.failures, PUBLISHED in load.answers) == ([], False)


def test_a_forgotten_host_that_comes_back_is_recovered_and_added_again(
    stack: Stack, daemon: PrivateDaemon, both: Changes
) -> None:
    daemon.start()
    stack.configure({**both, **CHANGED})

    refused = stack.up()
    recovered = run_module(stack, "lifecycle.recover", "--stack", stack.name)
    run = stack.up()

    assert refused.status != 0
    assert recovered.status == 0, recovered.error
    assert f"removed the container {stack.prefix}-{FAR}" in recovered.output
    assert run.status == 0, run.output
    stack.nothing_to_do()


def test_a_host_that_is_taken_out_of_the_settings_is_drained_and_removed(
    stack: Stack, daemon: PrivateDaemon
) -> None:
    before = stack.container(NEAR).id
    stack.configure(CHANGED)

    run = stack.up()

    assert run.status == 0, run.output
    assert {step.op for step in run.changed()} <= {"delete", "update"}
    assert f"{FAR}: drained" in run.output
    assert daemon.client().containers.list(all=True) == []
    assert set(_members(stack)) == {NEAR}
    assert stack.container(NEAR).id == before


def _endpoint(stack: Stack) -> str:
    return str(stack.outputs()["endpoint"])


def _members(stack: Stack) -> dict[str, bytes]:
    files = read_all(stack.container("balancer"))
    return {Path(path).stem: text for path, text in files.items() if path.startswith("members/")}


def _forget(stack: Stack, host: str) -> Done:
    return run_module(stack, "lifecycle.forget", "--stack", stack.name, "--host", host)
