"""
``python -m tests.lifecycle.topology_table``: what the probe says of every tree, beside the others.

Writes docs/measurements/topologies.md from the trees that `tests.lifecycle.independent` finds, and
from those of the rig.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lifecycle.probe import describe_tree, topology_of
from planner.cpuset import CpuSet
from planner.errors import TopologyError
from tests.lifecycle.independent import FOLDER, Answer, captured_trees, differences
from tests.rig import tree
from tests.rig.topologies import TOPOLOGIES

DOCUMENT = Path(__file__).parents[2] / "docs/measurements/topologies.md"

_GIB = 1 << 30
_HEAD = """\
# Topologies of real machines, read by the probe and by other tools

This page is written by `python -m tests.lifecycle.topology_table`.
It shows what `python -m lifecycle probe --sysroot TREE` says of trees that were captured on real machines (a few are constructed), beside what hwloc's `lstopo` or util-linux's `lscpu` says of the same tree.
The trees are not part of this project.
`tests/lifecycle/test_shared_topologies.py` compares more than the counts: the CPUs, memory and distances of each node, the CPUs of each core, and the list of CPUs online.

Each cell is the other tool's count, and ours after a slash where it differs.
A dash is what a tool, or the tree, does not say.
hwloc leaves out what the control group of the capturing process forbids; ours is what is allowed there too, and the last column has what the whole machine has.

"""  # noqa: E501 - a sentence a line
_COLUMNS = """\
| tree | answer of | NUMA nodes | CPUs online | cores | memory (GiB) | compared |
|---|---|---|---|---|---|---|
"""
_TAIL = """
hwloc gives a node without CPUs those that are near to it, and the kernel gives it none; that is not counted as a difference.

## The rig's machines

[The rig](../rig.md) emulates each of these, and `lscpu` and `numactl` were asked in its guest.
Our memory is rounded down to 64 MiB in each node.
The trees are in `tests/data/rig`; `tests/rig/test_captured.py` compares them, and refuses this table where it says otherwise.

"""  # noqa: E501 - a sentence a line


def rows() -> Iterator[str]:
    """Yield the table's rows, one a tree."""
    for captured in captured_trees():
        with tempfile.TemporaryDirectory() as folder:
            root = captured.unpack(Path(folder))
            try:
                form, unsaid = describe_tree(root)
            except TopologyError as refused:
                cells = _refused(captured.read_answer(), refused)
            else:
                cells = _compared(form, captured.read_answer(), unsaid)
        tool = "lscpu" if captured.answer.suffix == ".expected" else "hwloc"
        yield f"| {' | '.join((f'`{captured.name}`', tool, *cells))} |"


def rig_rows() -> Iterator[str]:
    """Yield a row for each topology of the rig."""
    for name in TOPOLOGIES:
        seen = tree.read(name)
        cells = _compared(topology_of(seen.files).to_json(), _guest_answer(seen), ())
        yield f"| {' | '.join((f'`{name}`', 'lscpu, numactl', *cells))} |"


def _guest_answer(seen: tree.Tree) -> Answer:
    """Return what lscpu says of CPUs and cores, and numactl of nodes, memory and distances."""
    nodes = {node: CpuSet.of(cpus) for node, cpus in seen.nodes("cpus").items()}
    cores: dict[int, set[int]] = {}
    for cpu, core, *_ in seen.processors():
        cores.setdefault(core, set()).add(cpu)
    return Answer(
        nodes=nodes,
        memory={node: (size << 20, 1 << 20) for node, (size,) in seen.nodes("size").items()},
        cores=frozenset(map(CpuSet.of, cores.values())),
        online=CpuSet.of(cpu for cpu, *_ in seen.processors()),
        distances={
            (node, other): distance
            for node, row in zip(nodes, seen.distances(), strict=True)
            for other, distance in zip(nodes, row, strict=True)
        },
        hides=False,
    )


def _refused(answer: Answer, refused: TopologyError) -> tuple[str, ...]:
    counts = (len(answer.nodes), len(answer.online), len(answer.cores))
    memory = sum(size for size, _ in answer.memory.values()) / _GIB
    return (
        *(f"{count or '-'} / -" for count in counts),
        f"{memory:.1f} / -" if memory else "-",
        f"refused: {'; '.join(refused.faults)}",
    )


def _compared(form: dict[str, Any], answer: Answer, unsaid: tuple[str, ...]) -> tuple[str, ...]:
    allowed = CpuSet.parse(form["allowed_cpus"])
    online = CpuSet.parse(form["online"])
    cores = [CpuSet.parse(core) for core in form["cores"]]
    nodes = [node["id"] for node in form["nodes"]]
    mems = form["allowed_memory_nodes"]
    # What hwloc is not shown it does not count; a node of forbidden memory is hidden with it.
    seen = set(nodes) if mems is None or not answer.hides else set(CpuSet.parse(mems))
    shown = allowed if answer.hides else online
    sizes = [node["memory_bytes"] for node in form["nodes"] if node["id"] in seen]
    ours = "-" if None in sizes else f"{sum(sizes) / _GIB:.1f}"
    theirs = f"{sum(size for size, _ in answer.memory.values()) / _GIB:.1f}"
    return (
        _pair(len(answer.nodes), len(seen)),
        _pair(len(answer.online), len(online & shown)),
        _pair(len(answer.cores), sum(1 for core in cores if core & shown)),
        f"{theirs if answer.memory else '-'} / {ours}",
        _verdict(form, answer, unsaid, whole=(len(nodes), len(online), len(cores))),
    )


def _verdict(
    form: dict[str, Any], answer: Answer, unsaid: tuple[str, ...], *, whole: tuple[int, int, int]
) -> str:
    found = list(differences(form, answer))
    said = ["equal" if not found else "; ".join(found)]
    if len(CpuSet.parse(form["allowed_cpus"])) < whole[1]:
        said.append("the machine has {} nodes, {} CPUs, {} cores".format(*whole))
    missing = sorted({sentence.split(" ")[0].rpartition("/")[2] for sentence in unsaid})
    if missing:
        said.append(f"the tree lacks {', '.join(f'`{file}`' for file in missing)}")
    return "; ".join(said)


def _pair(theirs: int, ours: int) -> str:
    return str(ours) if ours == theirs else f"{theirs} / {ours}"


if __name__ == "__main__":
    table = "".join(f"{row}\n" for row in rows())
    if not table:
        sys.exit(f"there are no trees in {FOLDER}; set OVMS_NUMA_TOPOLOGIES to where they lie")
    rig = "".join(f"{row}\n" for row in rig_rows())
    DOCUMENT.write_text(_HEAD + _COLUMNS + table + _TAIL + _COLUMNS + rig)
