import pytest

from planner.errors import TopologyError
from planner.topology import parse_sysfs
from tests.planner.worlds import TWO_NODES, sysfs_of

CPU = "sys/devices/system/cpu"


def kinds_of(files: dict[str, str]) -> list[str]:
    return [core.kind for core in parse_sysfs(sysfs_of(TWO_NODES) | files).cores]


def capacities(*values: int) -> dict[str, str]:
    return {f"{CPU}/cpu{cpu}/cpu_capacity": f"{value}\n" for cpu, value in enumerate(values)}


@pytest.mark.parametrize(
    ("files", "fast"),
    [
        ({"sys/devices/cpu_core/cpus": "0-3\n", "sys/devices/cpu_atom/cpus": "4-7\n"}, 4),
        (
            {
                "sys/devices/cpu_core/cpus": "0-1\n",
                "sys/devices/cpu_atom/cpus": "2-5\n",
                "sys/devices/cpu_lowpower/cpus": "6-7\n",
            },
            2,
        ),
        (capacities(1024, 1024, 446, 446, 446, 446, 446, 446), 2),
        (capacities(1024, 871, 871, 871, 446, 446, 446, 446), 1),
    ],
    ids=["x86", "x86 with a third kind", "ARM", "ARM with a third kind"],
)
def test_fast_cores_and_thrifty_ones_are_told_apart(files: dict[str, str], fast: int) -> None:
    assert kinds_of(files) == ["performance"] * fast + ["efficiency"] * (8 - fast)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/devices/cpu_core/cpus": "0-7\n", "sys/devices/cpu_atom/cpus": "\n"},
        {"sys/devices/cpu_core/cpus": "0-7\n", "sys/devices/cpu_atom/cpus": "8-15\n"},
        capacities(*[1024] * 8),
    ],
    ids=["not said", "no thrifty one", "the thrifty ones are offline", "one capacity"],
)
def test_a_machine_of_one_kind_has_no_kinds(files: dict[str, str]) -> None:
    assert kinds_of(files) == [""] * 8


def test_cores_that_are_of_no_listed_kind_have_none() -> None:
    files = {"sys/devices/cpu_core/cpus": "0-3\n", "sys/devices/cpu_atom/cpus": "4-6\n"}

    assert kinds_of(files) == ["performance"] * 4 + ["efficiency"] * 3 + [""]


def test_siblings_of_two_kinds_contradict_each_other() -> None:
    files = {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": "0-1\n" for cpu in (0, 1)}

    with pytest.raises(TopologyError) as refused:
        kinds_of(files | capacities(1024, 446, *[1024] * 6))

    assert refused.value.faults == ("the CPUs 0-1 of one core are of 2 kinds; a core is of one",)
