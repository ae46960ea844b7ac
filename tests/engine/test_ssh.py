"""A stack on a host behind SSH: this machine, by a user who may do nothing but use its Docker."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lifecycle.ask import ask
from lifecycle.capture import capture
from tests.engine.operator import Operator
from tests.engine.stack import ROOT, Run, Stack, engine_environment
from tests.engine.test_up import MODEL
from tests.lifecycle.sshd import Sshd, new_key, serve_ssh

pytestmark = pytest.mark.engine

FIRST = "far-node0-0"
INSTANCES = {FIRST, "far-node0-1"}
USER, OUTSIDER = "ovms-numa-test", "ovms-numa-other"
PINNED = {"docker-far", "balancer-pushed", *(f"{name}-activation" for name in INSTANCES)}
"""What knows how the host is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """The host, and the stack on it."""

    sshd: Sshd
    stack: Stack
    made: Run

    def told(self, **host: Any) -> None:
        """Write the stack file, with other settings of the host."""
        own = self.stack.settings["hosts"]["far"]
        self.stack.configure({"hosts": {"far": {**own, **host}}})

    def preview(self, **host: Any) -> Run:
        self.told(**host)
        try:
            return self.stack.preview()
        finally:
            self.told()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if os.geteuid() != 0:
        pytest.skip("only root can make the users that log in")
    with (
        pytest.MonkeyPatch.context() as path,
        serve_ssh(tmp_path_factory.mktemp("sshd"), path) as server,
        user(USER, server, "--groups", group_of_docker()),
        user(OUTSIDER, server),
    ):
        yield server


def group_of_docker() -> str:
    return str(Path("/var/run/docker.sock").stat().st_gid)


@contextmanager
def user(name: str, server: Sshd, *options: str) -> Iterator[None]:
    """Make a user who logs in by the key alone; one that a killed run left is made anew."""
    remove(name)
    # A password of which nothing is the hash: with none at all an account is locked.
    argv = ["useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", *options, name]
    subprocess.run(argv, check=True)
    try:
        account = pwd.getpwnam(name)
        keys = Path(account.pw_dir) / ".ssh"
        keys.mkdir(mode=0o700)
        shutil.copy(server.folder / "authorized_keys", keys)
        for path in (keys, keys / "authorized_keys"):
            os.chown(path, account.pw_uid, account.pw_gid)
        yield
    finally:
        remove(name)


def remove(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return
    # What it has still running ends with its connections.
    argv = ["userdel", "--force", "--remove", name]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture(scope="module")
def far(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    url = f"ssh://{USER}@127.0.0.1:{sshd.port}"
    topology = ROOT / "hosts" / "test-ssh.json"
    capture(topology.stem, url=url, known_hosts=str(sshd.known_hosts()), directory=topology.parent)
    host = {
        "docker": url,
        "host-key": sshd.host_key,
        "topology": f"hosts/{topology.name}",
        "subnet": "172.30.121.0/24",
    }
    stack = Stack(
        name="ssh",
        folder=tmp_path_factory.mktemp("stack"),
        settings={
            "hosts": {"far": host},
            "placement": {
                "instances-per-node": 2,
                "cores-per-instance": 1,
                # Beside other stacks on the same CPUs.
                "cpu-sharing": "allowed",
            },
            "balancer": {"port": 18121, "keepalive-min-timeout-s": 1},
            "rollout": {"start-timeout-s": 120, "drain-timeout-s": 120, "stop-timeout-s": 5},
        },
        # The client that has the key; the rest of the path is the engine's.
        enter=("env", f"PATH={sshd.folder / 'bin'}:{engine_environment()['PATH']}"),
    )
    stack.clear()
    try:
        yield Far(sshd=sshd, stack=stack, made=stack.up())
        stack.configure({})
        removed = stack.destroy()
        assert removed.status == 0, removed.output
        assert stack.remains() == []
    finally:
        topology.unlink()
        stack.clear()


def test_up_brings_a_stack_into_service_over_ssh(far: Far) -> None:
    assert far.made.status == 0, far.made.output
    assert set(far.made.names("create")) >= INSTANCES
    assert ask(far.stack.outputs()["endpoint"], MODEL, "What is the capital of France?")


def test_its_endpoint_is_asked_from_its_own_host(far: Far) -> None:
    """It is published there on 127.0.0.1, which is another machine's own address."""
    endpoint = str(far.stack.outputs()["endpoint"])

    asked = Operator(far.stack)("ask", endpoint, "Who are you?")

    assert asked.status == 0, asked.error
    assert asked.output.startswith(f"Ask it yourself, on ssh://{USER}@127.0.0.1:{far.sshd.port}:")


def test_a_preview_has_nothing_to_do_then(far: Far) -> None:
    far.stack.nothing_to_do()


def test_the_state_names_nothing_of_the_machine_that_made_it(far: Far) -> None:
    export = far.stack.start("stack", "export", "--stack", far.stack.name).communicate()[0]
    held = [
        json.dumps({**one.get("inputs", {}), **one.get("outputs", {})})
        for one in json.loads(export)["deployment"]["resources"]
        if one["type"] != "pulumi:pulumi:Stack"
    ]

    assert any(far.sshd.host_key.split()[1] in text for text in held)
    for path in (str(ROOT), str(far.sshd.folder), str(far.stack.folder)):
        assert [text for text in held if path in text] == []


def test_what_an_operator_sees_is_read_from_there(far: Far) -> None:
    shown = Operator(far.stack)("status")

    assert shown.status == 0, shown.output + shown.error
    assert "2 of 2 instances serve" in shown.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "exited"}, f"drift: {FIRST} is exited, not running"),
        ({"cpus": "1"}, f"drift: {FIRST} was re-pinned: CPUs: planned 0, found 1"),
    ],
    ids=["stopped", "re-pinned"],
)
def test_drift_is_seen_and_repaired_over_ssh(far: Far, change: dict[str, str], words: str) -> None:
    container = far.stack.container(FIRST)
    if "cpus" in change:
        container.update(cpuset_cpus=change["cpus"])
    else:
        container.stop(timeout=5)

    shown, up = far.stack.preview(), far.stack.up()

    assert words in shown.output
    assert up.status == 0, up.output
    assert {step.name for step in up.changed()} == {f"{FIRST}-activation"}
    far.stack.nothing_to_do()


def test_another_key_is_refused_and_nothing_is_touched(far: Far, tmp_path: Path) -> None:
    far.told(**{"host-key": new_key(tmp_path / "other")})
    try:
        runs = [far.stack.preview(), far.stack.up()]
    finally:
        far.told()

    for run in runs:
        assert run.status != 0
        assert "its host key is not the one that `host-key` has for" in run.output
        assert run.changed() == []


def test_a_user_outside_the_docker_group_is_refused(far: Far) -> None:
    run = far.preview(docker=f"ssh://{OUTSIDER}@127.0.0.1:{far.sshd.port}")

    assert run.status != 0
    assert f"the user {OUTSIDER!r} may not use its Docker engine" in run.output
    assert f"`usermod -aG docker {OUTSIDER}`" in run.output


def test_a_host_that_stays_silent_is_given_up_and_shown_as_it_is(far: Far) -> None:
    begun = time.monotonic()
    far.sshd.process.send_signal(signal.SIGSTOP)
    try:
        run = far.stack.preview("--expect-no-changes")
    finally:
        far.sshd.process.send_signal(signal.SIGCONT)

    assert run.status == 0, run.output
    assert f"it does not answer on port {far.sshd.port}" in run.output
    assert time.monotonic() - begun < 180


def test_another_way_to_know_the_host_leaves_its_containers_as_they_are(far: Far) -> None:
    """By a file of keys, which ssh finds from wherever the engine starts it."""
    file = ROOT / "hosts" / "test-ssh.known_hosts"
    shutil.copy(far.sshd.known_hosts(), file)
    own = dict(far.stack.settings["hosts"]["far"])
    started = {name: far.stack.container(name).attrs["State"]["StartedAt"] for name in INSTANCES}
    del far.stack.settings["hosts"]["far"]["host-key"]
    try:
        far.told(**{"known-hosts": f"hosts/{file.name}"})
        with_file = far.stack.up()
        far.stack.settings["hosts"]["far"] = own
        far.told()
        with_key = far.stack.up()
    finally:
        file.unlink()

    for run in (with_file, with_key):
        assert run.status == 0, run.output
        assert {step.name for step in run.changed()} >= PINNED
        assert {step.op for step in run.changed()} == {"update"}
    assert started == {
        name: far.stack.container(name).attrs["State"]["StartedAt"] for name in INSTANCES
    }
