from collections.abc import Mapping
from typing import Any

import pytest

from planner.placement import plan
from planner.server import open_files, server_command, server_environment
from tests.planner.worlds import TWO_NODES, TWO_NODES_SMT, make_host, make_settings


def command_of(node: int = 0, **server: Any) -> tuple[str, ...]:
    settings = make_settings(server={key.replace("_", "-"): value for key, value in server.items()})
    return server_command(settings, plan(settings, {"box": make_host(TWO_NODES)}).placements[node])


def test_a_server_is_told_its_models_its_port_and_its_threads_for_requests() -> None:
    """OVMS keeps one REST thread for itself: 256 generations need 257."""
    assert command_of(node=1) == (
        "--config_path",
        "/workspace/config.json",
        "--rest_port",
        "8001",
        "--rest_workers",
        "257",
        "--metrics_enable",
        "--file_system_poll_wait_seconds",
        "0",
        "--log_level",
        "INFO",
    )


def test_the_settings_of_the_server_reach_its_command_line() -> None:
    command = command_of(rest_port=9000, max_concurrency=1, log_level="DEBUG")

    assert command[3:6:2] == ("9000", "2")
    assert command[-1] == "DEBUG"


def test_flags_follow_in_order_of_name_whatever_the_order_they_are_written_in() -> None:
    flags = {"verbose_response": True, "cache_dir": "-x y", "allow_credentials": False, "n": 0}

    command = command_of(flags=flags)

    assert command[11:] == ("--cache_dir=-x y", "--n=0", "--verbose_response")
    assert command == command_of(flags=dict(reversed(flags.items())))


def single_of(server: Mapping[str, Any] | None = None, **single: Any) -> tuple[str, ...]:
    keys = {key.replace("_", "-"): value for key, value in single.items()}
    models = {"single": {"path": "smollm2-135m-instruct", **keys}}
    settings = make_settings(models=models, placement={"smt": "siblings"}, server=server or {})
    placements = plan(settings, {"box": make_host(TWO_NODES_SMT)}).placements
    return server_command(settings, placements[0])


def test_one_model_is_served_by_flags_of_its_own_and_never_beside_a_config_json() -> None:
    """OVMS ends with exit code 64 on both together."""
    command = single_of()

    assert command[: command.index("--rest_port")] == (
        "--model_name",
        "smollm2-135m-instruct",
        "--model_path",
        "/workspace/smollm2-135m-instruct",
        "--task",
        "text_generation",
        "--target_device",
        "CPU",
        "--cache_size",
        "0",
        "--plugin_config",
        '{"ENABLE_MMAP":false,"INFERENCE_NUM_THREADS":4}',
    )
    assert "--config_path" not in command
    assert command[command.index("--rest_port") :] == command_of()[2:]


def test_flags_of_one_model_are_written_as_ovms_reads_them() -> None:
    command = single_of(
        enable_prefix_caching=False,
        max_num_seqs=8,
        dynamic_split_fuse=True,
        kv_cache_precision="u8",
        tool_parser="hermes3",
        plugin_config={"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": True},
    )

    flags = dict(zip(command[::2], command[1::2], strict=False))
    assert flags["--enable_prefix_caching"] == "false"
    assert flags["--dynamic_split_fuse"] == "true"
    assert (flags["--max_num_seqs"], flags["--kv_cache_precision"]) == ("8", "u8")
    assert flags["--tool_parser"] == "hermes3"
    assert flags["--plugin_config"] == (
        '{"ENABLE_CPU_PINNING":true,"ENABLE_MMAP":false,"INFERENCE_NUM_THREADS":4,'
        '"PERFORMANCE_HINT":"LATENCY"}'
    )


def test_shared_weights_are_left_to_the_servers_default_which_maps_them() -> None:
    command = single_of(server={"weights": "shared"})

    assert command[command.index("--plugin_config") + 1] == '{"INFERENCE_NUM_THREADS":4}'


def test_the_graph_pool_that_can_stall_a_server_is_off() -> None:
    assert server_environment() == ("OVMS_GRAPH_QUEUE_OFF=1",)


@pytest.mark.parametrize("concurrency", [1, 256, 1363, 9999])
def test_a_server_may_open_the_files_that_its_rest_threads_and_connections_need(
    concurrency: int,
) -> None:
    """OVMS ends with exit code 64 above (limit - 15) / 6 threads."""
    workers = int(command_of(max_concurrency=concurrency)[5])

    limit = open_files(make_settings(server={"max-concurrency": concurrency}))

    assert workers <= (limit - 15) // 6
    assert limit >= 8192
