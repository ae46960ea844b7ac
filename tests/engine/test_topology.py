"""A host that is no longer as it was captured is refused before anything is touched."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lifecycle.capture import capture
from lifecycle.probe import probe_topology
from planner.cpuset import CpuSet
from tests.engine.stack import ROOT, Stack
from tests.engine.test_up import MODEL

pytestmark = pytest.mark.engine

NAME = f"engine-test-{os.getpid()}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is never brought up, on this machine as it is captured."""
    file = ROOT / f"hosts/{NAME}.json"
    settings = {
        "hosts": {"box": {"subnet": "172.30.120.0/24", "topology": f"hosts/{NAME}.json"}},
        "placement": {"cpu-sharing": "allowed"},
        "models": {"names": [MODEL]},
        "balancer": {"port": 18100},
    }
    try:
        capture(NAME, directory=file.parent)
        yield Stack(name="topology", folder=tmp_path_factory.mktemp("stack"), settings=settings)
    finally:
        file.unlink(missing_ok=True)


@pytest.fixture
def captured() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Change the captured file for the time of a test."""
    file = ROOT / f"hosts/{NAME}.json"
    whole = file.read_text()

    def change(changes: dict[str, Any]) -> None:
        document = json.loads(whole)
        document["topology"].update(changes)
        file.write_text(json.dumps(document))

    yield change
    file.write_text(whole)


def with_one_cpu_more() -> dict[str, Any]:
    """This machine with a CPU that it has not, as it would have been captured before."""
    form = probe_topology().to_json()
    more = str(max(CpuSet.parse(form["online"])) + 1)
    for key in ("online", "allowed_cpus"):
        form[key] = str(CpuSet.parse(f"{form[key]},{more}"))
    form["nodes"][0]["cpus"] = str(CpuSet.parse(f"{form['nodes'][0]['cpus']},{more}"))
    form["cores"].append(more)
    form["packages"].append(form["packages"][0])
    return form


def test_a_host_as_it_was_captured_is_let_through(stack: Stack) -> None:
    run = stack.preview()

    assert run.status == 0, run.output
    assert "it is not as" not in run.output


@pytest.mark.parametrize("operation", ["preview", "up"])
def test_a_cpu_that_is_gone_is_refused_with_what_that_means(
    stack: Stack, captured: Callable[[dict[str, Any]], None], operation: str
) -> None:
    before = with_one_cpu_more()
    captured(before)
    live = probe_topology()
    its = before["nodes"][0]["cpus"]
    lost = CpuSet.parse(before["online"]) - live.online

    run = stack.preview() if operation == "preview" else stack.up()

    assert run.status != 0
    assert (
        f"box: it is not as hosts/{NAME}.json describes it.\n"
        f"      CPUs online: captured {before['online']}, now {live.online}\n"
        "      What that means:\n"
        f"        box-node0-0 is planned on the CPUs {its}, of which {lost} cannot be had\n"
        f"      What to do: capture it again with `make capture NAME={NAME}`, then look at the "
        "new plan,\n"
        "        or put the host back as it was."
    ) in run.output
    assert stack.remains() == []


def test_memory_that_is_gone_is_refused_and_what_another_kernel_takes_is_not(
    stack: Stack, captured: Callable[[dict[str, Any]], None]
) -> None:
    node, *others = probe_topology().to_json()["nodes"]
    size = node["memory_bytes"]

    captured({"nodes": [{**node, "memory_bytes": size + (64 << 20)}, *others]})
    tolerated = stack.preview()
    captured({"nodes": [{**node, "memory_bytes": size * 2}, *others]})
    refused = stack.preview()

    assert tolerated.status == 0, tolerated.output
    assert refused.status != 0
    assert "memory of NUMA node 0: captured " in refused.output
    assert "every instance can run where it is planned" in refused.output


def test_with_a_topology_that_is_probed_nothing_is_compared(stack: Stack) -> None:
    stack.configure({"hosts": {"box": {"subnet": "172.30.120.0/24"}}})

    run = stack.preview()
    stack.configure({})

    assert run.status == 0, run.output
