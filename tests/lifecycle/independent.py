"""What hwloc and lscpu say of machines whose captured trees lie beside the project."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from planner.cpuset import CpuSet

_BESIDE = Path(__file__).parents[2].parent / "shared/topologies"
FOLDER = Path(os.environ.get("OVMS_NUMA_TOPOLOGIES", _BESIDE))
"""Where the trees lie: beside the project's folder, or where the environment says."""

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
# The probe rounds down to steps of this size.
_STEP = 64 << 20

# Of an object of hwloc: kind, the kernel's number, CPUs, and the text that tells its memory.
_Found = tuple[str, int, CpuSet, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    What another tool says of a machine.

    Attributes:
        nodes: the CPUs of each NUMA node by its id; hwloc gives a node without CPUs those that
            are near to it.
        memory: the bytes of each node that they are told of, and how exactly.
        cores: the CPUs of each.
        online: every CPU.
        distances: by two node ids; empty where they are not told.
        hides: whether what a control group forbids is left out.
    """

    nodes: Mapping[int, CpuSet]
    memory: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    cores: frozenset[CpuSet]
    online: CpuSet
    distances: Mapping[tuple[int, int], int] = field(default_factory=dict)
    hides: bool


@dataclass(frozen=True, slots=True)
class Captured:
    """A captured tree, still packed, and the file with the answer."""

    archive: Path
    answer: Path

    @property
    def name(self) -> str:
        """Of the folder and the machine."""
        return f"{self.archive.parent.name}/{self.archive.name.split('.tar.')[0]}"

    def unpack(self, folder: Path) -> Path:
        """Unpack the tree into *folder*; return its root."""
        subprocess.run(["tar", "-xf", self.archive, "-C", folder], check=True)
        return next(path for path in sorted(folder.iterdir()) if (path / "sys").is_dir())

    def read_answer(self) -> Answer:
        """Read what the other tool says."""
        readers = {".console": read_console, ".xml": read_xml, ".expected": read_lscpu}
        return readers[self.answer.suffix](self.answer.read_text(errors="replace"))


def captured_trees() -> list[Captured]:
    """List all trees that have an answer, by name."""
    archives = sorted([*FOLDER.glob("*/*.tar.bz2"), *FOLDER.glob("*/*.tar.gz")])
    answers = (
        (archive, archive.with_name(archive.name.split(".tar.")[0] + ending))
        for archive in archives
        for ending in (".console", ".xml", ".expected")
    )
    return [Captured(archive, answer) for archive, answer in answers if answer.is_file()]


def read_console(text: str) -> Answer:
    """Read what ``lstopo -v`` prints: one object a line, indented below what it is in."""
    found: list[_Found] = []
    lines = [line for line in text.splitlines() if re.match(r" *[A-Z][A-Za-z0-9]*[ (\[]", line)]
    objects = [(len(line) - len(line.lstrip()), line.strip()) for line in lines]
    for index, (_, line) in enumerate(objects):
        kind = re.split(r"[ (\[]", line, maxsplit=1)[0]
        number = re.search(r"\(P#(\d+)", line)
        if kind not in ("NUMANode", "Core", "PU") or (kind == "NUMANode" and not number):
            continue
        # What has memory lies beside the CPUs that are near to it.
        top = index if kind != "NUMANode" else _above(objects, index)
        cpus = CpuSet.of(_processors(objects, top))
        found.append((kind, int(number[1]) if number else -1, cpus, line))
    return _hwloc_answer(found, dict(_console_distances(text, found)))


def _above(objects: list[tuple[int, str]], index: int) -> int:
    return next(i for i in range(index, -1, -1) if objects[i][0] < objects[index][0])


def _processors(objects: list[tuple[int, str]], top: int) -> Iterator[int]:
    """Walk the processors (PU) from *top* on, as far as what is in it goes."""
    for index in range(top, len(objects)):
        depth, line = objects[index]
        if index > top and depth <= objects[top][0]:
            return
        if match := re.match(r"PU L#\d+ \(P#(\d+)", line):
            yield int(match[1])


def _console_distances(text: str, found: list[_Found]) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield the distances, which are told by hwloc's own numbers of the nodes."""
    matrix = re.search(r"\(name NUMALatency .*\n index +([\d ]+)\n((?: +\d[\d ]*\n?)+)", text)
    if matrix is None:
        return
    by_own = {
        int(match[1]): node
        for kind, node, _, line in found
        if kind == "NUMANode" and (match := re.search(r" L#(\d+)", line))
    }
    columns = [int(word) for word in matrix[1].split()]
    for row in matrix[2].splitlines():
        first, *values = (int(word) for word in row.split())
        for column, value in zip(columns, values, strict=True):
            yield (by_own[first], by_own[column]), value


def _hwloc_answer(found: list[_Found], distances: Mapping[tuple[int, int], int]) -> Answer:
    nodes = [(number, cpus, line) for kind, number, cpus, line in found if kind == "NUMANode"]
    sizes = {number: re.search(r"local=(\d+)([KMGT]iB|)", line) for number, _, line in nodes}
    return Answer(
        nodes={number: cpus for number, cpus, _ in nodes},
        memory={
            number: (int(size[1]) * _UNITS[size[2]], _UNITS[size[2]])
            for number, size in sizes.items()
            if size
        },
        cores=frozenset(cpus for kind, _, cpus, _ in found if kind == "Core"),
        online=CpuSet.of(cpu for kind, _, cpus, _ in found if kind == "PU" for cpu in cpus),
        distances=distances,
        hides=True,
    )


def read_xml(text: str) -> Answer:
    """Read hwloc's XML."""
    root = ElementTree.fromstring(text)  # noqa: S314 - a file that the project's owner chose
    found = [
        (
            str(one.get("type")),
            int(one.get("os_index") or -1),
            CpuSet.of(_bits(str(one.get("cpuset")))),
            f"local={one.get('local_memory')}",
        )
        for one in root.iter("object")
        if one.get("type") in ("NUMANode", "Core", "PU")
    ]
    distances: dict[tuple[int, int], int] = {}
    for matrix in root.iter("distances2"):
        ids = [int(word) for each in matrix.iter("indexes") for word in str(each.text).split()]
        values = [int(word) for each in matrix.iter("u64values") for word in str(each.text).split()]
        pairs = [(row, column) for row in ids for column in ids]
        distances.update(zip(pairs, values, strict=True))
    return _hwloc_answer(found, distances)


def _bits(mask: str) -> Iterator[int]:
    """Walk the CPUs of a mask such as ``0x000000ff,0xffffffff``."""
    words = [int(word, 16) if word else 0 for word in mask.split(",")]
    for place, word in enumerate(reversed(words)):
        yield from (place * 32 + bit for bit in range(32) if word >> bit & 1)


def read_lscpu(text: str) -> Answer:
    """Read what lscpu prints: a summary, then tables of which the first has the kernel's nodes."""
    table = text.split("# CPU,Core,Socket,Node", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    rows = [row.split(",") for row in table if row]
    cores: dict[str, list[int]] = {}
    for cpu, core, *_ in rows:
        cores.setdefault(core, []).append(int(cpu))
    listed = re.findall(r"^NUMA node(\d+) CPU\(s\): *(.*)$", text, re.MULTILINE)
    online = re.search(r"^On-line CPU\(s\) list: *(.*)$", text, re.MULTILINE)
    answer = Answer(
        nodes={int(node): CpuSet.of(_strides(cpus)) for node, cpus in listed},
        cores=frozenset(CpuSet.of(cpus) for cpus in cores.values()),
        online=CpuSet.of(_strides(online[1] if online else "")),
        hides=False,
    )
    by_table = {(int(cpu), node) for cpu, _, _, node, *_ in rows if node}
    assert by_table == {(cpu, str(node)) for node, cpus in answer.nodes.items() for cpu in cpus}
    return answer


def _strides(text: str) -> Iterator[int]:
    """Walk a list that may have strides, such as ``0-62:2``."""
    for first, last, stride in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", text):
        yield from range(int(first), int(last or first) + 1, int(stride or 1))


def differences(form: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    """Say what is otherwise in the probe's *form* of a topology than in *answer*, in words."""
    shown = CpuSet.parse(form["allowed_cpus" if answer.hides else "online"])
    online = CpuSet.parse(form["online"]) & shown
    if online != answer.online:
        yield f"CPUs online {online}, not {answer.online}"
    cores = {CpuSet.parse(core) & shown for core in form["cores"]} - {CpuSet()}
    if answer.cores and cores != answer.cores:
        yield f"cores {sorted(map(str, cores ^ answer.cores))}"
    nodes = {node["id"]: node for node in form["nodes"]}
    for id_, cpus in answer.nodes.items():
        if id_ not in nodes:
            yield f"there is no NUMA node {id_}"
            continue
        ours = CpuSet.parse(nodes[id_]["cpus"])
        if ours & shown != cpus and ours:
            yield f"CPUs of NUMA node {id_} {ours & shown}, not {cpus}"
        yield from _memory(nodes[id_], answer.memory.get(id_))
        yield from _distances(nodes[id_], list(nodes), answer)
    allowed = form["allowed_memory_nodes"]
    hidden = set(nodes) - set(CpuSet.parse(allowed)) if answer.hides and allowed else set()
    if extra := CpuSet.of(set(nodes) - set(answer.nodes) - hidden):
        yield f"NUMA nodes {extra} are left out there"


def _memory(node: Mapping[str, Any], told: tuple[int, int] | None) -> Iterator[str]:
    ours = node["memory_bytes"]
    if ours is not None and told is not None and abs(ours - told[0]) > told[1] + _STEP:
        yield f"memory of NUMA node {node['id']} {ours}, not {told[0]}"


def _distances(node: Mapping[str, Any], ids: list[int], answer: Answer) -> Iterator[str]:
    if node["distances"] is None:
        return
    for other, ours in zip(ids, node["distances"], strict=True):
        if (told := answer.distances.get((node["id"], other), ours)) != ours:
            yield f"distance from NUMA node {node['id']} to {other} {ours}, not {told}"
