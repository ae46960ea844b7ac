from pathlib import Path

import pytest

from lifecycle.pages import home_share, in_percent, parse_numa_maps, rounded
from planner.cpuset import CpuSet

CAPTURED = Path(__file__).parents[1] / "data" / "numa_maps"
PAGE = 4096


def line(rest: str) -> str:
    return f"7ff4c22d0000 default {rest} kernelpagesize_kB=4\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("anon=2 dirty=2 active=0 N0=2", "anonymous"),
        ("heap anon=2 dirty=2 N0=2", "anonymous"),
        ("stack anon=2 dirty=2 N0=2", "anonymous"),
        ("file=/usr/lib/libc.so.6 anon=2 dirty=2 N0=2", "anonymous"),
        ("file=/memfd:arena\\040(deleted) dirty=2 mapped=2 N0=2", "anonymous"),
        ("file=/SYSV00000000\\040(deleted) dirty=2 mapped=2 N0=2", "anonymous"),
        ("file=/workspace/m/openvino_model.bin mapped=2 N0=2", "model"),
        ("file=/workspace2/m/openvino_model.bin mapped=2 N0=2", "libraries"),
        ("file=/usr/lib/libc.so.6 mapped=2 mapmax=9 active=1 N0=2", "libraries"),
        ("file=/usr/lib/libc.so.6 anon=1 dirty=1 mapped=2 N0=2", "libraries"),
        ("mapped=2 mapmax=30 N0=2", "libraries"),
    ],
    ids=[
        "no file", "heap", "stack", "copies of a file", "memfd", "System V", "model",
        "beside the models", "library", "library with some copies", "vDSO",
    ],
)  # fmt: skip
def test_a_mapping_counts_as_what_its_pages_are(text: str, kind: str) -> None:
    found = parse_numa_maps(line(text))

    by_kind = {
        "anonymous": found.anonymous, "model": found.model, "libraries": found.libraries
    }  # fmt: skip
    assert by_kind == {name: {0: 2 * PAGE} if name == kind else {} for name in by_kind}


def test_pages_of_several_nodes_and_lines_are_added_up_by_node() -> None:
    found = parse_numa_maps(line("anon=5 N0=2 N1=3") + line("heap anon=7 N1=6 N10=1"))

    assert found.anonymous == {0: 2 * PAGE, 1: 9 * PAGE, 10: PAGE}


def test_huge_pages_count_by_their_size() -> None:
    """As the kernel counts them: a transparent huge page is 512 small ones."""
    huge = "7f00 bind:1 file=/anon_hugepage\\040(deleted) huge anon=3 N1=3 kernelpagesize_kB=2048\n"
    gigantic = "7f01 default file=/hugepages/kv huge dirty=1 N0=1 kernelpagesize_kB=1048576\n"

    found = parse_numa_maps(huge + gigantic + line("anon=512 dirty=512 N1=512"))

    assert found.anonymous == {1: (3 + 1) << 21}
    assert found.libraries == {0: 1 << 30}


def test_a_mapping_without_pages_has_no_size_and_counts_nothing() -> None:
    found = parse_numa_maps("7f00 default\n7f01 default file=/usr/lib/libc.so.6\n\n")

    assert found.in_mib() == {"anonymous": {}, "model": {}, "libraries": {}}


@pytest.mark.parametrize(
    "policy", ["bind=static:0-1", "prefer (many):0", "weighted interleave=relative:0,2", "local"]
)
def test_a_policy_of_several_words_is_not_taken_for_pages(policy: str) -> None:
    found = parse_numa_maps(f"7f00 {policy} anon=1 dirty=1 N2=1 kernelpagesize_kB=4\n")

    assert found.anonymous == {2: PAGE}


def test_a_real_server_on_one_node_is_local_whole() -> None:
    """A devserver with a Q4_1 model on AVX-512: its weights stay mapped."""
    found = parse_numa_maps((CAPTURED / "one_node.txt").read_text())

    assert found.in_mib() == {
        "anonymous": {"0": 232},
        "model": {"0": 89},
        "libraries": {"0": 78},
    }
    assert found.local_share(CpuSet.parse("0")) == 1.0


def test_a_real_server_on_the_second_of_two_nodes_shares_a_library_with_the_first() -> None:
    """An f16 model of 128 MiB, compiled: nearly all of its weights are anonymous."""
    found = parse_numa_maps((CAPTURED / "two_nodes.txt").read_text())

    assert found.in_mib() == {"anonymous": {"1": 590}, "model": {"1": 1}, "libraries": {"1": 77}}
    assert found.libraries == {0: 26 * PAGE, 1: 19646 * PAGE}
    assert found.local_share(CpuSet.parse("1")) == 1.0


@pytest.mark.parametrize(
    ("nodes", "share"), [("0", 0.25), ("1", 0.75), ("0-1", 1.0), ("2", 0.0), ("0,2", 0.25)]
)
def test_the_local_share_is_of_anonymous_memory_alone(nodes: str, share: float) -> None:
    text = line("anon=4 N0=1 N1=3") + line("file=/workspace/m.bin mapped=900 N0=900")

    assert parse_numa_maps(text).local_share(CpuSet.parse(nodes)) == share


@pytest.mark.parametrize(
    ("share", "number", "words"),
    [
        (1.0, 1.0, "100%"),
        (0.99999, 0.999, "99.9%"),
        (0.99, 0.99, "99%"),
        (0.5, 0.5, "50%"),
        (0, 0, "0%"),
    ],
)
def test_a_share_is_never_rounded_up(share: float, number: float, words: str) -> None:
    assert (rounded(share), in_percent(share)) == (number, words)


@pytest.mark.parametrize(
    ("name", "bound", "share"),
    [
        ("box-node0-0", "0", 0.25),
        ("box-node1-2", "0-1", 0.75),
        ("box-node1-2", None, 0.5),
        ("my-node-7-node12-10", None, 0.25),
        ("box-socket0-0", "0-1", 0.75),
        ("box-socket0-0", None, None),
    ],
)
def test_memory_belongs_where_it_is_bound_else_on_the_node_of_its_instance(
    name: str, bound: str | None, share: float | None
) -> None:
    found = parse_numa_maps(line("anon=4 N0=1 N1=2 N12=1"))

    assert home_share(found, name, bound) == share


def test_pages_that_were_not_measured_have_no_share() -> None:
    assert home_share(None, "box-node0-0", "0") is None
