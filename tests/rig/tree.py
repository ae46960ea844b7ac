"""
What a rig shows of its topology: the files that the probe reads, and what other tools say of them.

The trees in ``tests/data/rig`` are of every topology, so that tests need not start one.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lifecycle import listing
from lifecycle.capture import capture
from lifecycle.probe import PATTERNS
from tests.rig import machine
from tests.rig.place import ROOT, Place, Running

DATA: Final = ROOT / "tests" / "data" / "rig"

HOSTS: Final = {"2-nodes": "rig", "snc-4-nodes": "rig-snc"}
"""The topologies that stacks run on, by the name of their file in ``hosts/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """
    A host, as it was captured.

    Attributes:
        lscpu: what ``lscpu --parse=CPU,CORE,SOCKET,NODE`` printed there.
        numactl: what ``numactl --hardware`` printed.
        files: the text of the files that the probe reads, by path without a leading slash.
    """

    lscpu: str
    numactl: str
    files: Mapping[str, str]

    def processors(self) -> list[tuple[int, int, int, int]]:
        """Return the CPUs that lscpu lists, the online ones: CPU, core, socket, node."""
        rows = [line.split(",") for line in self.lscpu.splitlines() if not line.startswith("#")]
        return [(int(cpu), int(core), int(socket), int(node)) for cpu, core, socket, node in rows]

    def nodes(self, what: str) -> dict[int, list[int]]:
        """Return what numactl says of each node: its ``cpus``, or its ``size`` in MiB."""
        found = re.findall(rf"^node (\d+) {what}:([ \d]*)", self.numactl, re.MULTILINE)
        return {int(node): [int(word) for word in words.split()] for node, words in found}

    def distances(self) -> list[tuple[int, ...]]:
        """Return the distances that numactl prints, a row a node."""
        printed = self.numactl.split("node distances:")[1]
        rows = re.findall(r"^\s*\d+:\s+(.*)$", printed, re.MULTILINE)
        return [tuple(map(int, row.split())) for row in rows]


def read(topology: str) -> Tree:
    """Read the captured tree of *topology*."""
    return Tree(**json.loads((DATA / f"{topology}.json").read_text()))


def write(place: Place, running: Running) -> None:
    """
    Capture *running* as its topology's tree, and into ``hosts/`` where stacks run on it.

    Raises:
        RigError: one of the tools failed.
        LifecycleError: the host did not answer.
    """
    os.environ["SSH_AUTH_SOCK"] = str(place.agent)
    host = place.host(running)
    tree = Tree(
        lscpu=machine.run(place, running, "lscpu --parse=CPU,CORE,SOCKET,NODE"),
        numactl=machine.run(place, running, "numactl --hardware"),
        files=dict(sorted(listing.read_files(host, PATTERNS).items())),
    )
    DATA.mkdir(exist_ok=True)
    path: Path = DATA / f"{running.topology}.json"
    path.write_text(json.dumps(asdict(tree), indent=1) + "\n")
    if (name := HOSTS.get(running.topology)) is not None:
        capture(
            name,
            url=host.where.docker,
            known_hosts=str(place.known_hosts),
            directory=ROOT / "hosts",
        )
