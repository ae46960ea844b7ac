import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.probe import probe_topology, read_topology
from planner.errors import TopologyError
from tests.planner.worlds import TWO_NODES, TWO_NODES_SMT, make_host, sysfs_of

GROUPS = "sys/fs/cgroup"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "host", sysfs_of(TWO_NODES))


def write(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_host_is_read_from_the_tree_that_its_kernel_shows(tmp_path: Path) -> None:
    root = write(tmp_path, sysfs_of(TWO_NODES_SMT))

    assert probe_topology(root) == make_host(TWO_NODES_SMT)


def test_this_machine_can_be_probed() -> None:
    """Whatever it is: it runs the test, so it has a CPU, and Linux says which."""
    host = probe_topology()

    assert host.online
    assert host.allowed_cpus <= host.online


@pytest.mark.parametrize(
    "groups",
    [
        {"docker/cpuset.cpus.effective": "2-5\n", "docker/cpuset.mems.effective": "1\n"},
        {
            "system.slice/cpuset.cpus.effective": "2-5\n",
            "system.slice/cpuset.mems.effective": "1\n",
        },
        {"cpuset.cpus.effective": "2-5\n", "cpuset.mems.effective": "1\n"},
        {
            "cpuset/docker/cpuset.effective_cpus": "2-5\n",
            "cpuset/docker/cpuset.effective_mems": "1\n",
        },
        {"cpuset/cpuset.effective_cpus": "2-5\n", "cpuset/cpuset.effective_mems": "1\n"},
    ],
    ids=["2 cgroupfs", "2 systemd", "2 root", "1 docker", "1 root"],
)
def test_what_docker_may_use_is_what_its_control_group_has(
    root: Path, groups: dict[str, str]
) -> None:
    write(root / GROUPS, groups)

    host = probe_topology(root)

    assert (str(host.allowed_cpus), str(host.allowed_memory_nodes)) == ("2-5", "1")


def test_the_control_group_nearest_to_the_containers_counts(root: Path) -> None:
    write(
        root / GROUPS,
        {
            "cpuset.cpus.effective": "0-7\n",
            "system.slice/cpuset.cpus.effective": "0-5\n",
            "docker/cpuset.cpus.effective": "2-3\n",
        },
    )

    assert str(probe_topology(root).allowed_cpus) == "2-3"


@pytest.mark.parametrize("text", [None, "\n"], ids=["no file", "empty"])
def test_without_a_restriction_all_is_allowed(root: Path, text: str | None) -> None:
    if text is not None:
        write(root / GROUPS, {"cpuset.cpus.effective": text})

    assert probe_topology(root).allowed_cpus == make_host(TWO_NODES).online


def test_a_tree_without_sysfs_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as refused:
        probe_topology(tmp_path)

    assert f"{tmp_path}/sys/devices/system/cpu is not there" in str(refused.value)


def test_what_a_tree_lacks_is_named_file_by_file(root: Path) -> None:
    (root / "sys/devices/system/node/node1/meminfo").unlink()
    (root / "sys/devices/system/node/node0/distance").unlink()

    with pytest.raises(TopologyError) as refused:
        probe_topology(root)

    assert [fault.split(" ")[0] for fault in refused.value.faults] == [
        "sys/devices/system/node/node0/distance",
        "sys/devices/system/node/node1/meminfo",
    ]


@pytest.mark.parametrize("wrapped", [True, False], ids=["as probe prints it", "inner part"])
def test_a_captured_topology_is_read_back_as_it_was(tmp_path: Path, wrapped: bool) -> None:
    host = make_host(TWO_NODES_SMT, allowed_cpus="0-3")
    document = {"topology": host.to_json()} if wrapped else host.to_json()
    path = tmp_path / "box.json"
    path.write_text(json.dumps(document))

    assert read_topology(str(path)) == host


@pytest.mark.parametrize("text", [None, "{", "\x00"], ids=["no file", "half JSON", "no JSON"])
def test_a_captured_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "box.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(TopologyError) as refused:
        read_topology(str(path))

    message = str(refused.value)
    assert message.startswith(f"{path} cannot be read (")
    assert message.endswith(
        "capture the host's topology into it, or set the host's topology to probe"
    )


@pytest.mark.parametrize("document", [[], "x", 1, {}, {"topology": None}, {"topology": []}])
def test_every_fault_of_a_captured_file_names_the_file(tmp_path: Path, document: object) -> None:
    path = tmp_path / "box.json"
    path.write_text(json.dumps(document))

    with pytest.raises(TopologyError) as refused:
        read_topology(str(path))

    assert refused.value.faults
    assert all(fault.startswith(f"{path}: ") for fault in refused.value.faults)


def test_the_topology_of_this_machine_has_a_name_of_its_own() -> None:
    assert read_topology("probe") == probe_topology()
