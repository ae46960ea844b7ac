"""The probe reads trees of real machines as hwloc and lscpu do."""

import re
from pathlib import Path
from typing import Any

import pytest

from lifecycle.probe import describe_tree
from planner.cpuset import CpuSet
from planner.errors import TopologyError
from tests.lifecycle.independent import FOLDER, Captured, captured_trees, differences

TREES = captured_trees()

each = pytest.mark.parametrize(
    "captured",
    TREES or [pytest.param(None, marks=pytest.mark.skip(reason=f"there are no trees in {FOLDER}"))],
    ids=lambda captured: captured.name if captured else "none",
)


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The trees that are unpacked, by name."""
    folders = {one.name: tmp_path_factory.mktemp("tree") for one in TREES}
    return {one.name: one.unpack(folders[one.name]) for one in TREES}


def probed(root: Path) -> dict[str, Any]:
    try:
        form, _ = describe_tree(root)
    except TopologyError as refused:
        return {"refused": refused.faults}
    return form


def gpu_nodes(root: Path) -> CpuSet:
    """The nodes whose memory is a GPU's, as its driver says; hwloc leaves them out."""
    files = root.glob("proc/driver/nvidia/gpus/*/numa_status")
    found = (re.findall(r"Node: +(\d+)", file.read_text()) for file in files)
    return CpuSet.of(int(node) for nodes in found for node in nodes)


@each
def test_a_tree_is_read_as_another_tool_reads_it(
    captured: Captured, roots: dict[str, Path]
) -> None:
    root = roots[captured.name]
    form = probed(root)
    if "refused" in form:
        assert not list(root.glob("sys/devices/system/node/node*"))
        assert form["refused"] == (
            "sys/devices/system/node/node* is missing: "
            "the kernel does not say which NUMA nodes there are",
        )
        return

    left_out = [f"NUMA nodes {its} are left out there"] if (its := gpu_nodes(root)) else []
    assert list(differences(form, captured.read_answer())) == left_out


@each
def test_an_answer_says_something_to_compare_with(captured: Captured) -> None:
    """A parser that finds nothing would find no difference."""
    answer = captured.read_answer()

    assert answer.online
    assert answer.cores
    assert sum(map(len, answer.cores)) == len(answer.online)
    assert answer.memory if answer.hides else not answer.memory


@each
def test_lists_are_written_as_docker_takes_them(captured: Captured, roots: dict[str, Path]) -> None:
    form = probed(roots[captured.name])

    for text in [node["cpus"] for node in form.get("nodes", [])] + form.get("cores", []):
        assert re.fullmatch(r"(\d+(-\d+)?(,\d+(-\d+)?)*)?", text)
