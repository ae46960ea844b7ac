"""The command line and environment of a model server, from its placement."""

import json
from collections.abc import Iterator

from planner.plan import Placement
from planner.settings import Settings, SingleModelSettings

# The flags of `models.single` that OVMS reads as words or numbers, in the order they are written.
_SINGLE_FLAGS = (
    "cache_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "dynamic_split_fuse",
    "kv_cache_precision",
    "tool_parser",
    "reasoning_parser",
    "enable_tool_guided_generation",
)

# Where the models directory is mounted, read-only, in every instance.
MODELS_MOUNT = "/workspace"


def server_command(settings: Settings, placement: Placement) -> tuple[str, ...]:
    """
    Give the arguments of the server of *placement*, in OVMS's own flags.

    Source: docs/parameters.md of OVMS. The models come first: its config.json, or one model with
    its flags, as OVMS refuses both together. The settings' own flags follow in order of name, as
    ``--name=value``, so that a value may begin with a hyphen.
    """
    single = settings.models.single
    models = (
        ("--config_path", f"{MODELS_MOUNT}/config.json")
        if single is None
        else tuple(_single(settings, single, placement))
    )
    return (
        *models,
        "--rest_port",
        str(placement.port),
        "--rest_workers",
        # OVMS keeps one of its REST threads for the server's own loop.
        str(settings.server.max_concurrency + 1),
        "--metrics_enable",
        "--file_system_poll_wait_seconds",
        "0",
        "--log_level",
        settings.server.log_level,
        *(
            flag
            for name, value in sorted(settings.server.flags.items())
            for flag in _flag(name, value)
        ),
    )


def server_environment() -> tuple[str, ...]:
    """
    Give the environment of every server, as ``NAME=value``.

    The graph pool of OVMS is switched off: a streamed request holds a graph of the pool while it
    waits for a REST thread, and requests that hold threads wait for graphs, so that some twice
    as many requests as threads can stall a server for good while its health says ready.
    """
    return ("OVMS_GRAPH_QUEUE_OFF=1",)


def open_files(settings: Settings) -> int:
    """
    Tell how many files an instance may have open.

    OVMS refuses more than (limit - 15) / 6 REST workers (its ``src/config.cpp``), and each
    connection that waits in its queue takes one more.
    """
    return max(8192, 16 * (settings.server.max_concurrency + 1))


def _single(settings: Settings, single: SingleModelSettings, placement: Placement) -> Iterator[str]:
    """
    Give the flags of the one model.

    Without ``--target_device`` OVMS takes a GPU where there is one. The threads are written, as
    its own default differs between releases, and counts the host's cores, not the CPU set's.
    """
    (name,) = settings.models.names
    yield from ("--model_name", name, "--model_path", f"{MODELS_MOUNT}/{single.path}")
    yield from ("--task", "text_generation", "--target_device", "CPU")
    for flag in _SINGLE_FLAGS:
        value = getattr(single, flag)
        if value is not None:
            yield from (f"--{flag}", json.dumps(value) if isinstance(value, bool) else str(value))
    mapping = {"ENABLE_MMAP": False} if settings.private_weights else {}
    properties = {**single.plugin_config, **mapping, "INFERENCE_NUM_THREADS": placement.threads}
    yield "--plugin_config"
    yield json.dumps(properties, sort_keys=True, separators=(",", ":"))


def _flag(name: str, value: str | int | bool) -> tuple[str, ...]:
    if value is False:
        return ()
    return (f"--{name}",) if value is True else (f"--{name}={value}",)
