"""The command line and environment of a model server, from its placement."""

from planner.plan import Placement
from planner.settings import Settings

# Where the models directory is mounted, read-only, in every instance.
MODELS_MOUNT = "/workspace"


def server_command(settings: Settings, placement: Placement) -> tuple[str, ...]:
    """
    Give the arguments of the server of *placement*, in OVMS's own flags.

    Source: docs/parameters.md of OVMS. The settings' own flags follow in order of name, as
    ``--name=value``, so that a value may begin with a hyphen.
    """
    return (
        "--config_path",
        f"{MODELS_MOUNT}/config.json",
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


def server_environment(_settings: Settings) -> tuple[str, ...]:
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


def _flag(name: str, value: str | int | bool) -> tuple[str, ...]:
    if value is False:
        return ()
    return (f"--{name}",) if value is True else (f"--{name}={value}",)
