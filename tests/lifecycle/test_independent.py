"""What reads the other tools' answers, on machines that are written here."""

from typing import Any

import pytest

from planner.cpuset import CpuSet
from tests.lifecycle.independent import (
    differences,
    read_console,
    read_lscpu,
    read_xml,
)
from tests.planner.worlds import GIB, make_host

FORM = make_host({0: ["0,2", "4"], 2: ["1,3"], 5: []}).to_json()

CONSOLE = """\
Machine (P#0 total=3072MiB)
  Package L#0 (P#0 total=2048MiB)
    NUMANode(DRAM) L#0 (P#0 local=16384MiB total=16384MiB)
    NUMANode(HBM) L#1 (P#5 local=16384MiB total=16384MiB)
    L2Cache L#0 (size=1024KiB)
      Core L#0 (P#0)
        PU L#0 (P#0)
        PU L#1 (P#2)
    Core L#1 (P#1)
      PU L#2 (P#4)
  Package L#1 (P#1 total=1024MiB)
    NUMANode L#2 (P#2 local=16384MiB total=16384MiB)
    Core L#2 (P#0)
      PU L#3 (P#1)
      PU L#4 (P#3)
depth 0:           1 Machine (type #0)
Relative latency matrix (name NUMALatency kind 5) between 3 NUMANodes (depth -3) by logical indexes:
 index     0     2     1
     0    10    21    21
     2    21    10    21
     1    21    21    10
Memory attribute #2 name `Bandwidth' flags 5
  NUMANode L#0 = 1000 from cpuset 0x00000015 (Package L#0)
"""

XML = f"""\
<topology version="3.0">
  <object type="Machine" os_index="0" cpuset="0x0000001f">
    <object type="NUMANode" os_index="0" cpuset="0x00000015" local_memory="{16 * GIB}"/>
    <object type="NUMANode" os_index="5" cpuset="0x00000015" local_memory="{16 * GIB}"/>
    <object type="NUMANode" os_index="2" cpuset="0x0000000a" local_memory="{16 * GIB}"/>
    <object type="Core" os_index="0" cpuset="0x00000005">
      <object type="PU" os_index="0" cpuset="0x1"/><object type="PU" os_index="2" cpuset="0x4"/>
    </object>
    <object type="Core" os_index="1" cpuset="0x00000010">
      <object type="PU" os_index="4" cpuset="0x10"/>
    </object>
    <object type="Core" os_index="2" cpuset="0x0000000a">
      <object type="PU" os_index="1" cpuset="0x2"/><object type="PU" os_index="3" cpuset="0x8"/>
    </object>
  </object>
  <distances2 type="NUMANode"><indexes>0 2 5</indexes>
    <u64values>10 21 21 21 10</u64values><u64values>21 21 21 10</u64values></distances2>
</topology>
"""

LSCPU = """\
CPU(s):              5
On-line CPU(s) list: 0-4
NUMA node0 CPU(s):   0-4:2
NUMA node2 CPU(s):   1,3
NUMA node5 CPU(s):

# The following is the parsable format
# CPU,Core,Socket,Node,,L1d
0,0,0,0,,0
1,1,1,2,,1
2,0,0,0,,0
3,1,1,2,,1
4,2,0,0,,2

# The following is the parsable format
# CPU,Core,Socket,Node
0,7,0,0
"""


@pytest.mark.parametrize("text", [CONSOLE, XML], ids=["console", "xml"])
def test_what_hwloc_says_is_read(text: str) -> None:
    answer = read_console(text) if text is CONSOLE else read_xml(text)

    assert {node: str(cpus) for node, cpus in answer.nodes.items()} == {
        0: "0,2,4", 5: "0,2,4", 2: "1,3",
    }  # fmt: skip
    assert {size for size, _ in answer.memory.values()} == {16 * GIB}
    assert sorted(map(str, answer.cores)) == ["0,2", "1,3", "4"]
    assert str(answer.online) == "0-4"
    assert (answer.distances[0, 0], answer.distances[0, 5], len(answer.distances)) == (10, 21, 9)
    assert list(differences(FORM, answer)) == []


def test_what_lscpu_says_is_read_with_its_strides() -> None:
    answer = read_lscpu(LSCPU)

    assert {node: str(cpus) for node, cpus in answer.nodes.items()} == {0: "0,2,4", 2: "1,3", 5: ""}
    assert sorted(map(str, answer.cores)) == ["0,2", "1,3", "4"]
    assert list(differences(FORM, answer)) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"online": "0-3"}, "CPUs online 0-3, not 0-4"),
        ({"cores": ["0", "2", "1,3", "4"]}, "cores ['0', '0,2', '2']"),
    ],
    ids=["online", "cores"],
)
def test_another_list_of_ours_is_a_difference(changed: dict[str, Any], found: str) -> None:
    assert found in list(differences(FORM | changed, read_console(CONSOLE)))


@pytest.mark.parametrize(
    ("node", "changed", "found"),
    [
        (0, {"cpus": "0-2,4"}, "CPUs of NUMA node 0 0-2,4, not 0,2,4"),
        (0, {"memory_bytes": 2 * GIB}, "memory of NUMA node 0 2147483648, not 17179869184"),
        (1, {"distances": [20, 10, 21]}, "distance from NUMA node 2 to 0 20, not 21"),
        (2, {"id": 6}, "there is no NUMA node 5"),
    ],
    ids=["CPUs", "memory", "distance", "id"],
)
def test_another_node_of_ours_is_a_difference(
    node: int, changed: dict[str, Any], found: str
) -> None:
    nodes = list(FORM["nodes"])
    nodes[node] = nodes[node] | changed

    assert found in list(differences(FORM | {"nodes": nodes}, read_console(CONSOLE)))


def test_a_node_more_of_ours_is_a_difference_where_its_memory_is_allowed() -> None:
    text = CONSOLE.replace("    NUMANode(HBM) L#1 (P#5 local=16384MiB total=16384MiB)\n", "")
    text = text.partition("Relative")[0]

    assert list(differences(FORM, read_console(text))) == ["NUMA nodes 5 are left out there"]
    assert list(differences(FORM | {"allowed_memory_nodes": "0,2"}, read_console(text))) == []


def test_what_hwloc_is_not_shown_is_left_out_of_ours_too() -> None:
    text = CONSOLE.replace("    Core L#1 (P#1)\n      PU L#2 (P#4)\n", "")
    form = FORM | {"allowed_cpus": str(CpuSet.of(range(4)))}

    assert list(differences(form, read_console(text))) == []
