import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.errors import TopologyError
from planner.topology import SYSFS_PATTERNS, describe_sysfs, parse_sysfs
from tests.planner.worlds import TWO_NODES, TWO_NODES_SMT, make_host, node_maps, sysfs_of

NODE = "sys/devices/system/node"
CPU = "sys/devices/system/cpu"
REPEATED = {f"{NODE}/online", f"{CPU}/online"}
"""What these lists say, the directories repeat."""


def faults_of(files: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as refused:
        parse_sysfs(files)
    return refused.value.faults


@given(node_maps())
def test_a_host_is_read_from_what_its_kernel_shows(nodes: dict[int, list[str]]) -> None:
    if not any(nodes.values()):
        nodes = {0: ["0"]}

    assert parse_sysfs(sysfs_of(nodes)) == make_host(nodes)


def test_nodes_without_memory_and_without_cpus_are_read() -> None:
    nodes = {0: ["0"], 2: [], 3: ["1"]}

    assert parse_sysfs(sysfs_of(nodes, without_memory=[3])) == make_host(nodes, without_memory=[3])


def test_the_patterns_name_every_file_that_is_read() -> None:
    for path in sysfs_of(TWO_NODES_SMT):
        assert any(PurePosixPath(path).match(pattern) for pattern in SYSFS_PATTERNS), path


def test_memory_is_rounded_down_so_that_a_reboot_changes_nothing() -> None:
    files = sysfs_of({0: ["0"]})
    first = files | {f"{NODE}/node0/meminfo": "Node 0 MemTotal:       24689012 kB\n"}
    second = files | {f"{NODE}/node0/meminfo": "Node 0 MemTotal:       24688104 kB\n"}

    assert parse_sysfs(first) == parse_sysfs(second)
    assert parse_sysfs(first).nodes[0].memory_bytes == 24064 * 1024 * 1024


def test_only_what_the_docker_daemon_allows_is_allowed() -> None:
    files = sysfs_of(TWO_NODES) | {"allowed/cpus": "2-5\n", "allowed/mems": "1\n"}

    host = parse_sysfs(files)

    assert str(host.allowed_cpus) == "2-5"
    assert str(host.allowed_memory_nodes) == "1"


def test_allowed_cpus_that_do_not_exist_are_left_out() -> None:
    """The kernel's masks of a process name every CPU that could be plugged in."""
    files = sysfs_of(TWO_NODES) | {"allowed/cpus": "0-127", "allowed/mems": "0-7"}

    host = parse_sysfs(files)

    assert host.allowed_cpus == host.online
    assert str(host.allowed_memory_nodes) == "0-1"


def test_an_offline_cpu_is_no_cpu() -> None:
    """Kernels before 2.6.29 list it in its node all the same."""
    files = sysfs_of(TWO_NODES_SMT) | {f"{CPU}/online": "0-4,6-7\n"}

    host = parse_sysfs(files)

    assert [str(core.cpus) for core in host.cores] == ["0,4", "1", "2,6", "3,7"]
    assert str(host.nodes[0].cpus) == "0-1,4"


def test_the_newer_name_of_the_siblings_is_preferred() -> None:
    files = sysfs_of({0: ["0", "1"]})
    for cpu in (0, 1):
        files[f"{CPU}/cpu{cpu}/topology/core_cpus_list"] = "0-1\n"

    assert [str(core.cpus) for core in parse_sysfs(files).cores] == ["0-1"]


def test_the_newer_name_of_the_siblings_may_be_a_mask_alone() -> None:
    files = sysfs_of({0: ["0", "1"]})
    for cpu in (0, 1):
        files[f"{CPU}/cpu{cpu}/topology/core_cpus"] = "00000003\n"

    assert [str(core.cpus) for core in parse_sysfs(files).cores] == ["0-1"]


def test_a_node_that_is_not_online_is_no_node() -> None:
    """Its memory was taken away; what has a CPU that runs is in the list."""
    files = sysfs_of({0: ["0"], 1: [], 2: ["1"]}) | {f"{NODE}/online": "0,2\n"}
    for node in (0, 2):
        files[f"{NODE}/node{node}/distance"] = "10 21\n" if node == 0 else "21 10\n"

    host = parse_sysfs(files)

    assert [node.id for node in host.nodes] == [0, 2]


def test_siblings_in_two_sockets_contradict_each_other() -> None:
    files = sysfs_of({0: ["0-1"]}) | {f"{CPU}/cpu1/topology/physical_package_id": "1\n"}

    assert faults_of(files) == ("CPUs 0-1 are one core, but in the sockets {0: 0, 1: 1}",)


def test_a_cpu_that_runs_without_a_topology_is_named() -> None:
    files = {path: text for path, text in sysfs_of(TWO_NODES).items() if "/cpu7/" not in path}
    del files[f"{CPU}/online"]

    assert faults_of(files | {f"{CPU}/cpu7/online": "1\n"})[0] == (
        f"{CPU}/cpu7/topology/thread_siblings_list is missing: "
        "the kernel does not say which CPUs share its core"
    )
    assert faults_of(files) == (
        f"{CPU}/online is missing: the kernel does not say whether the CPUs 7 of {NODE}/node1 run",
    )


@given(node_maps(), st.data())
def test_with_files_missing_a_host_is_read_as_it_is_or_refused(
    nodes: dict[int, list[str]], data: st.DataObject
) -> None:
    whole = sysfs_of(nodes)
    lost = data.draw(st.sets(st.sampled_from(sorted(whole)), min_size=1, max_size=6))
    rest = {path: text for path, text in whole.items() if path not in lost}
    # A node of which nothing at all is left cannot be missed.
    assume(all(any(f"/node{node}/" in path for path in rest) for node in nodes))

    try:
        form, unsaid = describe_sysfs(rest)
    except TopologyError as error:
        refused = str(error)
    else:
        refused = ""
        _check_as_far_as_it_goes(form, make_host(nodes).to_json())
        assert all(any(line.startswith(path) for line in unsaid) for path in lost - REPEATED)

    assert not refused or any(f"{path} is missing" in refused for path in lost)


def _check_as_far_as_it_goes(form: dict[str, Any], true: dict[str, Any]) -> None:
    assert (form["cores"], form["online"]) == (true["cores"], true["online"])
    assert [node["cpus"] for node in form["nodes"]] == [node["cpus"] for node in true["nodes"]]
    for node, its in zip(form["nodes"], true["nodes"], strict=True):
        assert node["memory_bytes"] in (its["memory_bytes"], None)
        assert node["distances"] in (its["distances"], None)


def test_masks_serve_where_an_old_kernel_has_no_lists() -> None:
    files = sysfs_of({0: ["0", "1"]})
    del files[f"{NODE}/online"], files[f"{NODE}/node0/cpulist"], files[f"{CPU}/online"]
    files[f"{NODE}/node0/cpumap"] = "00000000,00000003\n"
    for cpu in (0, 1):
        del files[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"]
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings"] = f"0000000{1 << cpu}\n"

    assert parse_sysfs(files) == make_host({0: ["0", "1"]})


def test_without_the_list_a_cpu_that_says_0_is_offline() -> None:
    files = sysfs_of({0: ["0", "1"]}) | {f"{CPU}/cpu1/online": "0\n"}
    del files[f"{CPU}/online"]

    assert str(parse_sysfs(files).online) == "0"


def test_a_nul_at_the_end_of_a_captured_file_is_not_read() -> None:
    files = {path: f"{text}\0" for path, text in sysfs_of(TWO_NODES).items()}

    assert parse_sysfs(files) == make_host(TWO_NODES)


def test_a_kernel_without_numa_is_refused() -> None:
    files = {path: text for path, text in sysfs_of(TWO_NODES).items() if NODE not in path}

    assert faults_of(files) == (
        f"{NODE}/node* is missing: the kernel does not say which NUMA nodes there are",
    )


def test_everything_that_is_missing_is_named_at_once() -> None:
    assert faults_of({f"{NODE}/node0/numastat": ""}) == (
        f"{CPU}/online is missing: the kernel does not say which CPUs run",
        f"{NODE}/node0/cpulist is missing: the kernel does not say which CPUs it has",
        f"{NODE}/node0/meminfo is missing: the kernel does not say how much memory it has",
        f"{NODE}/node0/distance is missing: "
        "the kernel does not say how far each NUMA node's memory is",
    )


@pytest.mark.parametrize("missing", sorted(sysfs_of({0: ["0"]})))
def test_no_file_is_replaced_by_a_guess(missing: str) -> None:
    """The two lists of what is online only repeat what the directories say."""
    files = sysfs_of({0: ["0"]})
    del files[missing]
    if missing in (f"{CPU}/online", f"{NODE}/online"):
        assert parse_sysfs(files) == make_host({0: ["0"]})
        return

    assert any(fault.startswith(f"{missing} is missing") for fault in faults_of(files))


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        (f"{NODE}/online", "0-2\n", f"{NODE}/online lists the NUMA nodes 0-2, but there are"),
        (f"{NODE}/online", "x\n", f"{NODE}/online: CPU list 'x'"),
        (f"{NODE}/node0/cpulist", "0-4\n", "CPUs 4 are in NUMA node 1 and in one before it"),
        (f"{NODE}/node0/cpulist", "0-2\n", "CPUs 3 are online but in no NUMA node"),
        (f"{NODE}/node0/meminfo", "\n", f"{NODE}/node0/meminfo: there is no line 'Node 0 MemTotal"),
        (
            f"{NODE}/node0/meminfo",
            "Node 1 MemTotal: 1 kB\n",
            f"{NODE}/node0/meminfo: there is no line 'Node 0 MemTotal",
        ),
        (f"{NODE}/node0/distance", "10\n", "NUMA node 0 has 1 distances, but the host has 2"),
        (f"{NODE}/node0/distance", "near\n", f"{NODE}/node0/distance: 'near\\n' is not a row of"),
        (f"{NODE}/node0/distance", "\n", f"{NODE}/node0/distance: '\\n' is not a row of numbers"),
        (
            f"{CPU}/cpu0/topology/thread_siblings_list",
            "0-1\n",
            "CPU 0 has the siblings 0-1, but CPU 1 of them has 1",
        ),
        (
            f"{CPU}/cpu0/topology/physical_package_id",
            "one\n",
            f"{CPU}/cpu0/topology/physical_package_id: 'one\\n' is not a row of numbers",
        ),
        (
            f"{CPU}/cpu0/topology/physical_package_id",
            "0 1\n",
            f"{CPU}/cpu0/topology/physical_package_id: '0 1\\n' is not one number",
        ),
    ],
)
def test_a_file_that_contradicts_the_others_is_named(path: str, text: str, fault: str) -> None:
    faults = faults_of(sysfs_of(TWO_NODES) | {path: text})

    assert any(re.match(re.escape(fault), found) for found in faults), faults


def test_an_unknown_socket_is_the_kernel_s_minus_one() -> None:
    files = sysfs_of({0: ["0"]}) | {f"{CPU}/cpu0/topology/physical_package_id": "-1\n"}

    assert parse_sysfs(files).cores[0].package == -1


def test_a_whole_tree_is_described_in_the_form_of_its_topology() -> None:
    files = sysfs_of(TWO_NODES_SMT)

    assert describe_sysfs(files) == (parse_sysfs(files).to_json(), ())


def test_what_a_captured_tree_does_not_say_is_null_and_named() -> None:
    """Tools that show CPUs only keep neither sizes nor distances."""
    files = sysfs_of(TWO_NODES)
    for path in (f"{NODE}/node1/meminfo", f"{NODE}/node0/distance", f"{NODE}/node1/distance"):
        del files[path]
    del files[f"{CPU}/cpu5/topology/physical_package_id"]

    form, unsaid = describe_sysfs(files)

    whole = make_host(TWO_NODES).to_json()
    assert form == {
        **whole,
        "nodes": [
            {"id": 0, "cpus": "0-3", "memory_bytes": 16 << 30, "distances": None},
            {"id": 1, "cpus": "4-7", "memory_bytes": None, "distances": None},
        ],
        "packages": [0, 0, 0, 0, 1, -1, 1, 1],
        "allowed_memory_nodes": None,
    }
    assert [sentence.split(" ")[0] for sentence in unsaid] == [
        f"{NODE}/node0/distance",
        f"{NODE}/node1/meminfo",
        f"{NODE}/node1/distance",
        f"{CPU}/cpu5/topology/physical_package_id",
    ]


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({f"{CPU}/cpu0/topology/thread_siblings_list": None}, "which CPUs share its core"),
        ({f"{NODE}/node0/cpulist": None}, "which CPUs it has"),
        ({f"{NODE}/node0/cpulist": "0-2\n"}, "CPUs 3 are online but in no NUMA node"),
    ],
    ids=["no siblings", "no CPUs", "a CPU without a node"],
)
def test_a_tree_without_cpus_nodes_or_cores_is_not_described(
    changed: dict[str, str | None], fault: str
) -> None:
    files = sysfs_of(TWO_NODES) | {path: text for path, text in changed.items() if text}
    files = {path: text for path, text in files.items() if changed.get(path, "") is not None}

    with pytest.raises(TopologyError) as refused:
        describe_sysfs(files)

    assert fault in str(refused.value)


def test_isolated_cpus_are_those_of_them_that_are_online() -> None:
    files = sysfs_of(TWO_NODES) | {f"{CPU}/isolated": "6-9\n"}

    assert str(parse_sysfs(files).isolated) == "6-7"


@pytest.mark.parametrize(("text", "version"), [("1", 1), ("2", 2), (None, None)])
def test_the_version_of_the_control_groups_is_kept(text: str | None, version: int | None) -> None:
    files = sysfs_of(TWO_NODES) | ({"cgroup/version": text} if text else {})

    assert parse_sysfs(files).cgroup_version == version
