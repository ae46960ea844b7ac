import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from lifecycle.probe import describe_tree, probe_topology, read_topology
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
        {
            "cpuset/system.slice/cpuset.effective_cpus": "2-5\n",
            "cpuset/system.slice/cpuset.effective_mems": "1\n",
        },
        {"cpuset/cpuset.effective_cpus": "2-5\n", "cpuset/cpuset.effective_mems": "1\n"},
        {"cpuset/docker/cpuset.cpus": "2-5\n", "cpuset/docker/cpuset.mems": "1\n"},
    ],
    ids=["2 cgroupfs", "2 systemd", "2 root", "1 docker", "1 systemd", "1 root", "1 old"],
)
def test_what_docker_may_use_is_what_its_control_group_has(
    root: Path, groups: dict[str, str]
) -> None:
    write(root / GROUPS, groups)

    host = probe_topology(root)

    assert (str(host.allowed_cpus), str(host.allowed_memory_nodes)) == ("2-5", "1")


@pytest.mark.parametrize(
    ("mount", "files"),
    [
        ("none /dev/cpuset cpuset rw 0 0", {"cpus": "2-5\n", "mems": "1\n"}),
        (
            "cgroup2 /dev/cpuset cgroup2 rw,nosuid 0 0",
            {
                "cpuset.cpus": "0-7\n",
                "cpuset.mems": "\n",
                "cpuset.cpus.effective": "2-5\n",
                "cpuset.mems.effective": "1\n",
            },
        ),
        (
            "cgroup /dev/cpuset cgroup rw,nosuid,cpuset 0 0",
            {"cpuset.cpus": "2-5\n", "cpuset.mems": "1\n"},
        ),
    ],
    ids=["cpuset", "2", "1"],
)
def test_a_tree_that_shows_only_the_group_of_its_capturer_is_limited_by_that(
    root: Path, mount: str, files: dict[str, str]
) -> None:
    write(
        root / "proc", {"self/cpuset": "/job/3\n", "mounts": f"proc /proc proc rw 0 0\n{mount}\n"}
    )
    write(root / "dev/cpuset/job/3", files)

    host = probe_topology(root)

    assert (str(host.allowed_cpus), str(host.allowed_memory_nodes)) == ("2-5", "1")
    assert host.cgroup_version == (2 if mount.startswith("cgroup2") else 1)


@pytest.mark.parametrize(
    ("mount", "cgroup"),
    [
        ("cgroup /dev/cpuset cgroup rw,cpuset 0 0", "3:memory:/x\n2:cpu,cpuset:/job/3\n0::/y\n"),
        ("cgroup2 /dev/cpuset cgroup2 rw 0 0", "0::/job/3/step\n"),
    ],
    ids=["1", "2, not enabled in the last group"],
)
def test_the_group_of_the_capturer_may_be_in_its_list_of_groups(
    root: Path, mount: str, cgroup: str
) -> None:
    write(root / "proc", {"self/cgroup": cgroup, "mounts": f"{mount}\n"})
    write(root / "dev/cpuset/job/3", {"cpuset.cpus": "2-5\n", "cpuset.mems": "1\n"})

    assert str(probe_topology(root).allowed_cpus) == "2-5"


@pytest.mark.parametrize(
    ("mounts", "version"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", 2),
        (
            "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
            "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n",
            1,
        ),
        ("proc /proc proc rw 0 0\n", None),
    ],
    ids=["2", "both", "neither"],
)
def test_the_table_of_mounts_says_the_version_where_no_group_is_shown(
    root: Path, mounts: str, version: int | None
) -> None:
    write(root, {"proc/mounts": mounts})

    host = probe_topology(root)

    assert host.cgroup_version == version
    assert host.allowed_cpus == host.online


def test_the_group_of_the_capturer_does_not_count_where_one_of_docker_s_is_shown(
    root: Path,
) -> None:
    """Containers do not run in the session of whoever looks."""
    write(root / "proc", {"self/cpuset": "/me\n", "mounts": "none /dev/cpuset cpuset rw 0 0\n"})
    write(root / "dev/cpuset/me", {"cpus": "0\n", "mems": "0\n"})
    write(root / GROUPS, {"cpuset/cpuset.cpus": "0-7\n"})

    assert probe_topology(root).allowed_cpus == make_host(TWO_NODES).online


@pytest.mark.parametrize("text", [None, "\n"], ids=["no file", "empty"])
def test_without_a_restriction_all_is_allowed(root: Path, text: str | None) -> None:
    if text is not None:
        write(root / GROUPS, {"cpuset.cpus.effective": text})

    assert probe_topology(root).allowed_cpus == make_host(TWO_NODES).online


def test_a_tree_without_sysfs_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as refused:
        probe_topology(tmp_path)

    assert f"{tmp_path}/sys/devices/system/cpu is not there" in str(refused.value)


def test_a_file_that_may_not_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_text(path: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", read_text)

    with pytest.raises(TopologyError) as refused:
        probe_topology(root)

    assert str(refused.value) == (
        f"{root}/sys/devices/system/node/online cannot be read: Permission denied. "
        "Run this as a user who may."
    )


@pytest.mark.parametrize("gone", [FileNotFoundError(2, ""), OSError(19, "No such device")])
def test_the_group_of_a_container_that_ends_meanwhile_is_passed_over(
    root: Path, monkeypatch: pytest.MonkeyPatch, gone: OSError
) -> None:
    write(
        root / GROUPS, {"cpuset.cpus.effective": "0-3\n", "docker/1a2b/cpuset.cpus.effective": ""}
    )
    read = Path.read_text

    def read_text(path: Path, **options: str) -> str:
        if "1a2b" in path.parts:
            raise gone
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", read_text)

    assert str(probe_topology(root).allowed_cpus) == "0-3"


def test_a_captured_tree_is_described_as_far_as_it_goes(root: Path) -> None:
    (root / "sys/devices/system/node/node1/meminfo").unlink()

    form, unsaid = describe_tree(root)

    assert [node["memory_bytes"] for node in form["nodes"]] == [16 << 30, None]
    assert unsaid == (
        "sys/devices/system/node/node1/meminfo is missing: "
        "the kernel does not say how much memory it has",
    )


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
        "make it with `make capture NAME=box`, or set the host's topology to probe"
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
