import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.cpuset import HIGHEST_ID, CpuSet
from planner.errors import CpuListError

ids = st.frozensets(st.integers(0, 300))


@pytest.mark.parametrize(
    ("text", "cpus", "printed"),
    [
        ("", set(), ""),
        (" \n", set(), ""),
        ("3", {3}, "3"),
        ("0-3,8\n", {0, 1, 2, 3, 8}, "0-3,8"),
        ("8, 0-3", {0, 1, 2, 3, 8}, "0-3,8"),
        ("0-3,2-5", {0, 1, 2, 3, 4, 5}, "0-5"),
        ("4-4", {4}, "4"),
        ("0,1", {0, 1}, "0-1"),
    ],
)
def test_a_list_is_read_in_any_order_and_printed_in_one(
    text: str, cpus: set[int], printed: str
) -> None:
    read = CpuSet.parse(text)

    assert set(read) == cpus
    assert str(read) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7-3", "CPU list '7-3': '7-3' runs backwards; write 3-7"),
        (
            "0-62:2",
            "CPU list '0-62:2': '0-62:2' has a stride; Docker takes no stride; write the CPUs out",
        ),
        ("0,-1", "CPU list '0,-1': '-1' is negative; numbers start at 0"),
        (
            "0,,3",
            "CPU list '0,,3': an item between commas is empty; leave the extra comma out",
        ),
        (
            "0,a\n",
            "CPU list '0,a': 'a' is neither a number nor a range; write items such as 4 or 0-3",
        ),
        (
            "٣",
            "CPU list '٣': '٣' is neither a number nor a range; write items such as 4 or 0-3",
        ),
        (
            "0-99999999999",
            "CPU list '0-99999999999': '0-99999999999' goes above 8191, the highest number that "
            "Linux gives a CPU; write numbers as /sys/devices/system/cpu/online has them",
        ),
    ],
    ids=["backwards", "stride", "negative", "empty item", "word", "foreign digit", "too high"],
)
def test_text_that_is_no_list_is_refused_with_the_remedy(text: str, message: str) -> None:
    with pytest.raises(CpuListError) as refused:
        CpuSet.parse(text)

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("mask", "printed"),
    [("3", "0-1"), ("00000000,000000ff\n", "0-7"), ("00000001,00000000", "32"), ("0", "")],
)
def test_a_mask_is_read(mask: str, printed: str) -> None:
    assert str(CpuSet.parse_mask(mask)) == printed


@pytest.mark.parametrize("mask", ["", "0x3", "3,3", "g"])
def test_text_that_is_no_mask_is_refused(mask: str) -> None:
    with pytest.raises(CpuListError, match="not hexadecimal words of eight digits"):
        CpuSet.parse_mask(mask)


@given(ids)
def test_what_is_printed_is_read_back(cpus: frozenset[int]) -> None:
    assert CpuSet.parse(str(CpuSet(cpus))) == CpuSet(cpus)


@given(ids)
def test_the_list_is_the_shortest_there_is(cpus: frozenset[int]) -> None:
    """As many items as there are runs of neighbours: Docker compares nothing, people do."""
    runs = sum(1 for cpu in cpus if cpu - 1 not in cpus)

    assert len([item for item in str(CpuSet(cpus)).split(",") if item]) == runs


@given(ids, ids)
def test_sets_behave_as_sets_do(one: frozenset[int], other: frozenset[int]) -> None:
    a, b = CpuSet(one), CpuSet(other)

    assert (a | b).ids == one | other
    assert (a & b).ids == one & other
    assert (a - b).ids == one - other
    assert (a <= b) == (one <= other)
    assert list(a) == sorted(one)
    assert len(a) == len(one)
    assert bool(a) == bool(one)
    assert all(cpu in a for cpu in one)


def test_the_first_is_the_lowest() -> None:
    assert CpuSet.of([9, 2, 4]).first == 2


def test_the_highest_number_of_linux_is_taken() -> None:
    assert CpuSet.parse(str(HIGHEST_ID)).first == HIGHEST_ID


def test_a_set_shows_its_list() -> None:
    assert repr(CpuSet.parse("0-3")) == "CpuSet('0-3')"
