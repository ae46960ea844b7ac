import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.weights import Case, Measured, cases, kept, main, measure, prepare, render
from bench.weights_host import Served
from lifecycle.pages import Pages

CACHED = Path(__file__).parents[2] / "bench" / "cached.py"
MIB = 1 << 20


class Host:
    """A host of two nodes that writes down what is done to it, and serves from node 0."""

    def __init__(self) -> None:
        self.cpus = {0: None, 1: None}
        self.calls: list[str] = []

    def empty_cache(self) -> None:
        self.calls.append("empty")

    def read_on(self, node: int, model: str) -> None:
        self.calls.append(f"read {model} on {node}")

    def cached(self, file: str) -> dict[int, int]:
        self.calls.append(f"look at {file}")
        return {0: 129 * MIB}

    def serve(self, model: str, weights: str, node: int, *, bound: bool) -> Served:
        self.calls.append(f"serve {model} {weights} on {node}{' bound' if bound else ''}")
        return Served(
            pages=Pages(
                anonymous={0: MIB, 1: 199 * MIB}, model={0: 50 * MIB}, libraries={1: 70 * MIB}
            ),
            memory_nodes=("1",) if bound else ("0-1",),
            ready_s=12.345,
            token_s=0.678,
        )


def case(**changes: Any) -> Case:
    return Case(**{"model": "m", "read_on": 0, "weights": "shared", "bound": True, **changes})


def measured(host: Host, one: Case) -> Measured:
    return measure(host, one)  # type: ignore[arg-type]


def test_each_model_is_read_on_each_node_in_every_way_and_cold_where_it_is_bound() -> None:
    found = list(cases(["m", "n"], [0, 1]))

    of_m = [one for one in found if one.model == "m"]
    assert len(of_m) == len(set(of_m)) == 2 * 2 * 2 + 2
    assert found[len(of_m) :] == list(cases(["n"], [0, 1]))
    assert [one for one in of_m if one.read_on is None] == [
        case(read_on=None), case(read_on=None, weights="private")
    ]  # fmt: skip


def test_the_cache_is_looked_at_before_and_after_the_server_runs_on_the_second_node() -> None:
    host = Host()

    found = measured(host, case(bound=False))

    file = "look at m/openvino_model.bin"
    assert host.calls == [file, "serve m shared on 1", file]
    assert (found.node, found.memory_nodes) == (1, "0-1")
    assert (found.cache_before, found.cache_after) == ({"0": 129}, {"0": 129})
    assert (found.local_share, found.weights_share) == (0.995, 0.796)


def test_a_run_that_was_broken_off_goes_on_with_what_it_wrote(tmp_path: Path) -> None:
    raw = tmp_path / "weights.json"
    found = [measured(Host(), one) for one in cases(["m"], [0, 1])]

    assert kept(raw) == []
    raw.write_text(json.dumps([asdict(one) for one in found]))
    assert kept(raw) == found


@pytest.mark.parametrize(
    ("one", "previous", "calls"),
    [
        (case(), None, ["empty", "read m on 0"]),
        (case(bound=False), case(), []),
        (case(read_on=1), case(), ["empty", "read m on 1"]),
        (case(model="n"), case(), ["empty", "read n on 0"]),
        (case(read_on=None), case(read_on=None), ["empty"]),
    ],
    ids=["first", "same cache", "another node", "another model", "cold"],
)
def test_the_cache_is_filled_anew_where_the_one_before_had_another(
    one: Case, previous: Case | None, calls: list[str]
) -> None:
    host = Host()

    prepare(host, one, previous)  # type: ignore[arg-type]

    assert host.calls == calls


def test_the_report_has_the_worst_of_each_setting_and_a_row_for_each_case() -> None:
    host = Host()
    found = [measured(host, one) for one in cases(["m"], [0, 1])]

    lines = render(found, {"m": 129}, "The host is a test.").splitlines()

    assert "| m | shared | 0.995 | 0.796 | 200 | 50 |" in lines
    assert "| m | private | 0.995 | 0.796 | 200 | 50 |" in lines
    assert "## m: 129 MiB of weights" in lines
    row = "| 129 / 0 | 129 / 0 | 1 / 199 | 50 / 0 | 0 / 70 | 0.995 | 0.796 | 12.3 | 0.68 |"
    assert f"| node 1 | private | no | 0-1 {row}" in lines
    assert f"| - | private | yes | 1 {row}" in lines
    assert sum(line.endswith("| 12.3 | 0.68 |") for line in lines) == len(found)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(os.urandom(MIB))
    return path


def cached(path: Path) -> dict[str, int]:
    printed = subprocess.run(
        [sys.executable, "-c", CACHED.read_text(), str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    by_path = json.loads(printed)
    assert list(by_path) == [str(path)]
    return dict(by_path[str(path)])


numa = pytest.mark.skipif(
    not Path("/proc/self/numa_maps").exists(), reason="this kernel does not tell pages by node"
)


@numa
def test_a_file_that_was_just_written_is_in_the_page_cache_whole(file: Path) -> None:
    assert sum(cached(file).values()) == MIB


@numa
def test_what_was_dropped_from_the_page_cache_is_not_counted_and_not_read_again(
    file: Path,
) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    assert cached(file) == {}
    assert cached(file) == {}, "looking at it reads nothing"


@numa
def test_an_empty_file_has_no_pages(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert cached(tmp_path / "empty") == {}


def test_a_host_that_does_not_run_is_told_with_how_to_start_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"hosts": {"rig": {"docker": f"unix://{tmp_path}/none"}}}
    stack = tmp_path / "Pulumi.rig.yaml"
    stack.write_text(json.dumps({"config": {"ovms-numa:settings": settings}}))
    (tmp_path / "Pulumi.yaml").write_text("name: ovms-numa")
    report = tmp_path / "weights.md"

    status = main([str(stack), "tiny", "--below", "/srv/models", "--output", str(report)])

    assert (status, report.exists()) == (1, False)
    assert capsys.readouterr().err.splitlines()[-1] == "  The rig is started by `make rig`."
