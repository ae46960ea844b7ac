"""
A stack on a host of which nothing but its Docker engine is reached, by TLS.

The engine is one of the tests' own, in a network of its own that is joined to this machine's. The
tests follow each other on one stack.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.operator import Operator, asked, table_rows
from tests.engine.private_daemon import PrivateDaemon, require, running
from tests.engine.stack import ROOT, Stack

pytestmark = pytest.mark.engine

ADDRESS = "10.123.0.6"
URL = f"tcp://{ADDRESS}:2376"
# Of the project, as the settings name them: from there they are the same for everybody.
CERTIFICATES, OTHERS = ROOT / "tls" / "test-engine", ROOT / "tls" / "test-other"
TOPOLOGY = ROOT / "hosts" / "test-tls.json"
INSTANCE = "far-node0-0"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateDaemon]:
    """An engine that takes clients with a certificate of one authority."""
    require("openssl")
    folder = tmp_path_factory.mktemp("engine")
    for own in (CERTIFICATES, OTHERS):
        # A killed run left it.
        shutil.rmtree(own, ignore_errors=True)
        make_certificates(own, folder / own.name)
    server = folder / CERTIFICATES.name
    daemon = PrivateDaemon(
        name="ovms-numa-tls",
        folder=folder,
        disk_mib=2048,
        address=ADDRESS,
        arguments=(
            "--host", URL, "--tlsverify", "--tlscacert", str(CERTIFICATES / "ca.pem"),
            "--tlscert", str(server / "cert.pem"), "--tlskey", str(server / "key.pem"),
        ),
    )  # fmt: skip
    try:
        with running(daemon):
            yield daemon
    finally:
        for own in (CERTIFICATES, OTHERS):
            shutil.rmtree(own)


def make_certificates(client: Path, server: Path) -> None:
    """Make an authority, and by it a certificate for a client and one for the engine."""
    for folder in (client, server):
        folder.mkdir(parents=True)
    authority = server / "ca-key.pem"
    _openssl(
        *("req", "-x509", "-subj", "/CN=authority", "-days", "1", "-keyout", str(authority)),
        *("-out", str(client / "ca.pem"), *_NEW_KEY),
    )
    for folder, usage in ((client, "clientAuth"), (server, "serverAuth")):
        request, options = folder / "request", folder / "options"
        _openssl(
            *("req", "-subj", f"/CN={usage}", "-keyout", str(folder / "key.pem")),
            *("-out", str(request), *_NEW_KEY),
        )
        options.write_text(f"subjectAltName=IP:{ADDRESS}\nextendedKeyUsage={usage}\n")
        _openssl(
            *("x509", "-req", "-days", "1", "-in", str(request), "-extfile", str(options)),
            *("-CA", str(client / "ca.pem"), "-CAkey", str(authority), "-CAcreateserial"),
            *("-out", str(folder / "cert.pem")),
        )


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def stack(daemon: PrivateDaemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on that host alone, balancer and all; it goes with the engine's disk."""
    capture = [sys.executable, "-m", "lifecycle", "capture", TOPOLOGY.stem]
    subprocess.run(capture, cwd=ROOT, check=True, capture_output=True)
    try:
        stack = Stack(
            name="tls",
            folder=tmp_path_factory.mktemp("stack"),
            settings={
                "hosts": {
                    "far": {
                        "docker": URL,
                        "tls": str(CERTIFICATES.relative_to(ROOT)),
                        "topology": str(TOPOLOGY.relative_to(ROOT)),
                        "subnet": "172.30.122.0/24",
                    }
                },
                "placement": {"cores-per-instance": 1, "cpu-sharing": "allowed"},
                "balancer": {"address": ADDRESS, "port": 18110, "keepalive-min-timeout-s": 1},
                "rollout": {"start-timeout-s": 120, "stop-timeout-s": 5},
            },
            client=daemon.client(),
        )
        run = stack.up()
        assert run.status == 0, run.output
        yield stack
    finally:
        TOPOLOGY.unlink()


def test_an_instance_is_proven_and_serves_behind_its_balancer(stack: Stack) -> None:
    load = asked(f"http://{ADDRESS}:18110/v3")
    shown = Operator(stack)("status")
    stack.nothing_to_do()

    assert load.failures == []
    assert shown.status == 0, shown.output + shown.error
    assert table_rows(shown.output)[INSTANCE][1:6] == ["0", "0", "0", "0", "0"]
    assert stack.outputs()["placements"][INSTANCE]["cpus"] == "0"


def test_what_was_changed_on_the_host_is_seen_and_repaired(stack: Stack) -> None:
    stack.container(INSTANCE).update(cpuset_cpus="1")

    seen = stack.preview()
    run = stack.up()

    assert f"drift: {INSTANCE} was re-pinned: CPUs: planned 0, found 1" in seen.output
    assert run.status == 0, run.output
    assert run.names("update") == [f"{INSTANCE}-activation"]
    assert f"{INSTANCE}: drained" in run.output
    stack.nothing_to_do()


def test_the_state_has_the_folder_s_name_and_nothing_of_the_key(stack: Stack) -> None:
    """The folder is relative to the project, and so the same in each checkout."""
    state = next((stack.folder / "state").rglob("stacks/**/tls.json")).read_text()

    resources = json.loads(state)["checkpoint"]["latest"]["resources"]
    (provider,) = (one for one in resources if one["urn"].endswith("::docker-far"))
    assert provider["inputs"]["certPath"] == "tls/test-engine"
    assert "PRIVATE KEY" not in state
    assert str(ROOT) not in state


@pytest.mark.parametrize(
    ("folder", "words"),
    [("tls/test-other", "compare the certificates"), ("tls/none", "there is no tls/none/ca.pem")],
)
def test_certificates_of_another_authority_or_none_are_refused_in_words(
    stack: Stack, folder: str, words: str
) -> None:
    stack.configure({"hosts": {"far": {**stack.settings["hosts"]["far"], "tls": folder}}})

    run = stack.preview()

    stack.configure({})
    assert run.status == 1
    assert f"error: {URL}: " in run.output
    assert words in run.output
