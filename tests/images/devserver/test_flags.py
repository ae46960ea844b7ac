"""The command line: what OVMS takes is taken, what it refuses is refused with 64."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from images.devserver.devserver.errors import UsageError
from images.devserver.devserver.flags import default_rest_workers, parse_flags

RECIPE = Path(__file__).parents[3] / "images" / "devserver"
CONFIG = ["--config_path", "/models/config.json", "--rest_port", "8000"]
SINGLE = ["--model_name", "m", "--model_path", "/models/m", "--rest_port", "8000"]


def test_the_flags_that_an_instance_gets_are_understood() -> None:
    flags = parse_flags(
        [
            *CONFIG, "--port", "0", "--rest_bind_address", "0.0.0.0,::", "--rest_workers=257",
            "--metrics_enable", "--log_level", "DEBUG", "--file_system_poll_wait_seconds", "0",
            "--load-delay", "1.5", "--faults",
        ]
    )  # fmt: skip

    assert flags.config_path == "/models/config.json"
    assert flags.rest_port == 8000
    assert flags.rest_bind_addresses == ("0.0.0.0", "::")  # noqa: S104
    assert flags.rest_workers == 257
    assert flags.metrics_enable
    assert flags.log_level == "DEBUG"
    assert flags.load_delay_s == 1.5
    assert flags.faults
    assert not parse_flags(CONFIG).faults


def test_one_model_takes_its_scheduling_from_flags() -> None:
    flags = parse_flags(
        [
            *SINGLE, "--task", "text_generation", "--target_device", "CPU", "--cache_size", "2",
            "--max_num_seqs=8", "--max_num_batched_tokens=512", "--enable_prefix_caching", "false",
            "--dynamic_split_fuse=false", "--plugin_config", '{"INFERENCE_NUM_THREADS": 3}',
        ]
    )  # fmt: skip

    assert flags.scheduling.cache_size == 2
    assert flags.scheduling.max_num_seqs == 8
    assert flags.scheduling.max_num_batched_tokens == 512
    assert not flags.scheduling.enable_prefix_caching
    assert not flags.scheduling.dynamic_split_fuse
    assert flags.scheduling.plugin_config == {"INFERENCE_NUM_THREADS": 3}


def test_scheduling_flags_and_only_those_override_a_graph_on_disk() -> None:
    assert not parse_flags([*SINGLE, "--plugin_config", "{}"]).in_memory
    assert parse_flags([*SINGLE, "--cache_size", "1"]).in_memory


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--config_path", "/c"], "rest_port is not set"),
        ([*CONFIG, "--bogus", "1"], "unmatched arguments: --bogus"),
        ([*CONFIG, "serve"], "unmatched arguments: serve"),
        ([*CONFIG, "--cache_size", "1"], "--cache_size with --config_path"),
        ([*CONFIG, "--model_name", "m"], "either config_path or model_path"),
        (["--model_name", "m", "--rest_port", "1"], "No model is named"),
        (["--rest_port"], "--rest_port has no value"),
        ([*CONFIG, "--rest_port", "1"], "--rest_port is given twice"),
        (["--config_path", "/c", "--rest_port", "70000"], "'70000', not a whole number from 0"),
        (["--config_path", "/c", "--rest_port", "-1"], "'-1', not a whole number"),
        ([*CONFIG, "--rest_workers", "1"], "from 2 to 10000"),
        ([*CONFIG, "--rest_workers", "10001"], "from 2 to 10000"),
        ([*CONFIG, "--port", "9000"], "from 0 to 0"),
        ([*CONFIG, "--log_level", "LOUD"], "'LOUD'"),
        ([*CONFIG, "--load-delay", "soon"], "'soon', not a number of seconds"),
        ([*SINGLE, "--task", "embeddings"], "'embeddings'"),
        ([*SINGLE, "--target_device", "GPU"], "'GPU'"),
        ([*SINGLE, "--enable_prefix_caching", "yes"], "'yes'"),
        ([*SINGLE, "--plugin_config", "{"], "is not JSON"),
        ([*SINGLE, "--plugin_config", '{"A": {}}'], "not an object of strings"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_wrong_flag_is_refused_with_its_value(argv: list[str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_flags(argv)

    assert said in str(refused.value)


def test_more_workers_than_open_files_allow_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))

    with pytest.raises(UsageError, match="set rest_workers to 168 or less"):
        parse_flags([*CONFIG, "--rest_workers", "169"])

    assert parse_flags([*CONFIG, "--rest_workers", "168"]).rest_workers == 168


def test_without_a_flag_there_is_a_worker_per_allowed_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))

    for cpus, workers in ((1, 2), (8, 8), (400, 144)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=cpus: set(range(count)))
        assert default_rest_workers() == workers


@pytest.mark.parametrize(
    ("argv", "code"), [([*CONFIG, "--bogus"], 64), (["--version"], 0), ([], 0)], ids=str
)
def test_the_process_ends_with_ovms_s_code(argv: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devserver", *argv],
        cwd=RECIPE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert ("unmatched arguments: --bogus" in done.stderr) == (code == 64)
    assert ("not OpenVINO Model Server" in done.stdout) == (code == 0)
