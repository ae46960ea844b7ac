"""The table of wrong settings: a Markdown file that is read by people and run by tests."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planner.claims import Claim, check_claims
from planner.cpuset import CpuSet
from planner.errors import PlanError
from planner.placement import plan
from planner.settings import parse_settings
from tests.planner.worlds import make_host

TABLE = Path(__file__).parents[1] / "data" / "wrong_settings.md"

# The host of the table: two NUMA nodes of four cores with two CPUs each; CPU 15 is offline.
BOX = make_host({0: ["0,8", "1,9", "2,10", "3,11"], 1: ["4,12", "5,13", "6,14", "7"]})

_CASE = re.compile(
    r"^### (?P<title>[^\n]+)\n+```yaml\n(?P<written>.*?)^```\n+"
    r"(?:Another stack has:\n+```yaml\n(?P<other>.*?)^```\n+)?"
    r"```text\n(?P<told>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """
    One row of the table.

    Attributes:
        title: what is wrong, in words.
        written: the text below ``ovms-numa:settings``.
        other: what another stack has of the host, as YAML; "" for nothing.
        told: what is printed, a line each fault, without the "error: " before it.
    """

    title: str
    written: str
    other: str
    told: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain data; the host "box" is left out where it is not what is wrong."""
        settings: Any = yaml.safe_load(self.written)
        return settings if "hosts" in settings else {"hosts": BOX_ALONE, **settings}


BOX_ALONE = {"box": {"topology": "hosts/box.json"}}


def read_table() -> list[Wrong]:
    """Read every row of the table."""
    rows = (row.groupdict(default="") for row in _CASE.finditer(TABLE.read_text()))
    return [Wrong(**row) for row in rows]


def write_world(folder: Path, row: Wrong) -> None:
    """Put the stack file of *row* and the captured topologies that the table uses in *folder*."""
    hosts = folder / "hosts"
    hosts.mkdir()
    topology = BOX.to_json()
    (hosts / "box.json").write_text(json.dumps({"topology": topology}))
    (hosts / "cut-off.json").write_text('{"topology":')
    half = {**topology, "nodes": topology["nodes"][:1]}
    (hosts / "half.json").write_text(json.dumps(half))
    alone = "" if "hosts:" in row.written else "hosts: {box: {topology: hosts/box.json}}\n"
    lines = (alone + row.written).splitlines(keepends=True)
    settings = "".join(f"    {line}" for line in lines)
    (folder / "Pulumi.x.yaml").write_text(f"config:\n  ovms-numa:settings:\n{settings}")


def faults_beside(row: Wrong) -> tuple[str, ...]:
    """Tell what keeps the stack of *row* off the host that another stack is on."""
    other = yaml.safe_load(row.other)
    settings = parse_settings(row.settings, "Pulumi.x.yaml")
    claim = Claim(
        host="box",
        project="ovms-numa",
        stack="other",
        cpus=CpuSet.parse(other["cpus"]),
        ports=frozenset((address, port) for address, port in other["ports"].items()),
    )
    try:
        check_claims(plan(settings, {"box": BOX}), settings, [claim])
    except PlanError as error:
        return error.faults
    return ()
