import json
from pathlib import PurePosixPath

import pytest

from lifecycle.docker_group import PATTERNS, limits
from planner.errors import TopologyError

V2 = "sys/fs/cgroup/"
V1 = f"{V2}cpuset/"


def version_2(**groups: str) -> dict[str, str]:
    """A machine whose groups have these CPUs; ``__`` is a step down, ``root`` the root."""
    return {
        f"{V2}cgroup.controllers": "cpuset cpu\n",
        **_groups(V2, groups, "cpuset.cpus.effective"),
    }


def version_1(**groups: str) -> dict[str, str]:
    return _groups(V1, groups, "cpuset.effective_cpus")


def _groups(base: str, groups: dict[str, str], file: str) -> dict[str, str]:
    folders = {name: name.replace("__", "/").replace("_slice", ".slice") for name in groups}
    return {
        f"{base}{'' if name == 'root' else folders[name] + '/'}{file}": f"{cpus}\n"
        for name, cpus in groups.items()
    }


def docker_set_to(**settings: object) -> dict[str, str]:
    return {
        "etc/docker/daemon.json": json.dumps(
            {name.replace("_", "-"): value for name, value in settings.items()}
        )
    }


CGROUPFS = docker_set_to(exec_opts=["native.cgroupdriver=cgroupfs"])
SYSTEMD = docker_set_to(exec_opts=["native.cgroupdriver=systemd"])


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        (version_2(root="0-7", system_slice="0-5", docker="2-3"), "0-5"),
        (version_2(root="0-7", system_slice="0-5", docker="2-3") | CGROUPFS, "2-3"),
        (version_2(root="0-7", docker="2-3"), "2-3"),
        (version_2(root="0-7", docker="2-3") | SYSTEMD, "0-7"),
        (version_2(root="0-7"), "0-7"),
        (version_1(root="0-7", system_slice="0-5", docker="2-3"), "2-3"),
        (version_1(root="0-7", system_slice="0-5", docker="2-3") | SYSTEMD, "0-5"),
        (version_1(root="0-7", system_slice="0-5"), "0-5"),
        (version_1(root="0-7", system_slice="0-5") | CGROUPFS, "0-7"),
    ],
    ids=[
        "2, systemd is the default",
        "2, cgroupfs is set",
        "2, without systemd",
        "2, the group of the other driver was left behind",
        "2, no group yet",
        "1, cgroupfs is the default",
        "1, systemd is set",
        "1, only systemd's",
        "1, cgroupfs is set, no group yet",
    ],
)
def test_the_driver_says_in_which_group_containers_are_made(
    files: dict[str, str], cpus: str
) -> None:
    assert limits(files)["allowed/cpus"].strip() == cpus


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        (version_2(root="0-7", system_slice="0-7", models_slice="4-7"), "4-7"),
        (version_2(root="0-7", models_slice="4-7", models_slice__other="0"), "4-7"),
        (version_2(root="0-7", system_slice="0-1"), "0-7"),
        (version_1(root="0-7", docker="0-1", models_slice="4-7"), "4-7"),
    ],
    ids=["2", "2, beside another", "2, not there yet", "1"],
)
def test_a_cgroup_parent_in_docker_s_settings_counts(files: dict[str, str], cpus: str) -> None:
    assert (
        limits(files | docker_set_to(cgroup_parent="models.slice"))["allowed/cpus"].strip() == cpus
    )


def test_a_slice_lies_in_the_slices_that_its_name_begins_with() -> None:
    files = version_2(root="0-7", a_slice="0-5") | {
        f"{V2}a.slice/a-b.slice/cpuset.cpus.effective": "1-2\n"
    }

    assert limits(files | docker_set_to(cgroup_parent="a-b.slice"))["allowed/cpus"] == "1-2\n"
    assert limits(files | docker_set_to(cgroup_parent="a-c.slice"))["allowed/cpus"] == "0-5\n"


def test_a_path_as_cgroup_parent_is_taken_as_it_is() -> None:
    files = version_1(root="0-7", jobs="0-5", jobs__models="4-5") | CGROUPFS

    told = limits(files | docker_set_to(cgroup_parent="/jobs/models"))

    assert told["allowed/cpus"] == "4-5\n"


@pytest.mark.parametrize("files", [version_1(root="0-7"), version_2(root="0-7")], ids=["1", "2"])
def test_the_version_is_that_of_the_groups_that_limit_cpus(files: dict[str, str]) -> None:
    beside = {f"{V2}unified/cgroup.controllers": "\n"}

    version = "1" if any(path.startswith(V1) for path in files) else "2"
    assert limits(files | beside)["cgroup/version"] == version


def test_where_no_group_is_shown_nothing_is_said() -> None:
    assert limits({}) == {}


def test_a_version_2_without_cpu_sets_limits_nothing() -> None:
    assert limits({f"{V2}cgroup.controllers": "memory pids\n"}) == {"cgroup/version": "2"}


def test_docker_s_settings_that_cannot_be_read_are_named() -> None:
    """Where its containers are made would be a guess."""
    with pytest.raises(TopologyError, match=r"etc/docker/daemon.json is no JSON"):
        limits(version_2(root="0-7") | {"etc/docker/daemon.json": "{"})


def test_settings_that_are_no_object_set_nothing() -> None:
    told = limits(version_2(root="0-7") | {"etc/docker/daemon.json": "[]"})

    assert told["allowed/cpus"] == "0-7\n"


def test_the_patterns_name_every_file_that_is_looked_for() -> None:
    looked_for = {
        **version_2(root="0", docker="0", system_slice="0", a__b__c="0"),
        **version_1(root="0", docker="0", system_slice="0", a__b__c="0"),
        **CGROUPFS,
    }

    for path in looked_for:
        assert any(PurePosixPath(path).match(pattern) for pattern in PATTERNS), path
