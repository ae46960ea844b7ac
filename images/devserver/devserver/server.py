"""The process: its port opens at once, its models load beside, and a signal ends it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import uvicorn
from starlette.types import ASGIApp

from . import NAME, VERSION
from .app import make_app
from .errors import LoadError
from .faults import Deadly, Faults, Faulty, protocol
from .flags import Flags, Scheduling
from .generation import Generator
from .metrics import Metrics
from .models import ModelSource, find_models
from .registry import Registry

log = logging.getLogger("devserver")

Load = Callable[[Path, Scheduling], Generator]
"""Loads the model in a folder; raises LoadError."""

_BUSY_S: Final = 5.0
"""How long OVMS waits for a port that is taken."""


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: a signal during a load must wait for the load."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hang_up(self) -> None:
        """Cut every connection: in-flight generations are lost at a stop, as in OVMS."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def run(flags: Flags, load: Load) -> int:
    """
    Serve until a signal, or until it is certain that there is nothing to serve.

    SIGTERM and SIGINT end it with 0, and what is being generated is lost, as in OVMS. While a
    model loads they wait for it; only ``--load-delay`` is cut short.

    Returns:
        The exit code: 0 after a signal; 1 where the port stays taken, the one model of a
        ``--model_name`` start does not load, or config.json cannot be read.
    """
    log.info("%s %s (not OpenVINO Model Server)", NAME, VERSION)
    files = os.sysconf("SC_OPEN_MAX")
    log.info("cpu affinity: %d, max_open_files: %d", len(os.sched_getaffinity(0)), files)
    try:
        sockets = [bind(address, flags.rest_port) for address in flags.rest_bind_addresses]
    except OSError as error:
        log.error("REST port %d cannot be used: %s", flags.rest_port, error)
        return 1
    return asyncio.run(_Process(flags, load).serve(sockets))


def bind(address: str, port: int, *, patience_s: float = _BUSY_S) -> socket.socket:
    """
    Listen on *address*, trying again while another process has the port.

    Raises:
        OSError: it is still taken after *patience_s*, or the address is none of this machine's.
    """
    deadline = time.monotonic() + patience_s
    while True:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError:
            listener.close()
            if time.monotonic() >= deadline:
                raise
            time.sleep(min(0.2, patience_s))
        else:
            return listener


class _Process:
    """One run of the server; its loop, its loader thread and its models."""

    def __init__(self, flags: Flags, load: Load) -> None:
        self._flags = flags
        self._load = load
        self._registry = Registry()
        self._metrics = Metrics()
        self._stopping = threading.Event()
        self._exit_code = 0

    async def serve(self, sockets: list[socket.socket]) -> int:
        loop = asyncio.get_running_loop()
        signalled = asyncio.Event()

        def stop() -> None:
            self._stopping.set()
            signalled.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        server = _Server(self._uvicorn_config())
        serving = asyncio.create_task(server.serve(sockets))
        loading = asyncio.create_task(asyncio.to_thread(self._load_all))
        loading.add_done_callback(lambda _: stop() if self._exit_code else None)
        await signalled.wait()
        await loading
        server.hang_up()
        server.should_exit = True
        await serving
        for _, generator in self._registry.available():
            await asyncio.to_thread(generator.close)
        log.info("stopped")
        return self._exit_code

    def _uvicorn_config(self) -> uvicorn.Config:
        app: ASGIApp = make_app(
            self._registry,
            self._metrics,
            rest_workers=self._flags.rest_workers,
            metrics_enable=self._flags.metrics_enable,
        )
        http: type[asyncio.Protocol] | Literal["h11"] = "h11"
        if self._flags.faults:
            log.warning("it goes wrong where it is asked to (--faults): only for tests")
            faults = Faults()
            app, http = Faulty(app, faults), protocol(faults)
        # OVMS closes no idle connection; a balancer keeps its own alive for as long as it likes.
        return uvicorn.Config(
            app,
            http=http,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=24 * 3600,
            timeout_graceful_shutdown=1,
        )

    def _load_all(self) -> None:
        self._stopping.wait(self._flags.load_delay_s)
        try:
            sources = () if self._stopping.is_set() else find_models(self._flags)
        except LoadError as error:
            log.error("%s", error)
            self._exit_code = 1
            return
        failed = [source.name for source in sources if not self._load_one(source)]
        if failed and self._flags.config_path is None:
            self._exit_code = 1
            return
        self._registry.started = not self._stopping.is_set()

    def _load_one(self, source: ModelSource) -> bool:
        started = time.monotonic()
        try:
            generator = self._load(source.folder, source.read_scheduling())
        except LoadError as error:
            log.error("model %s: %s", source.name, error)
            self._registry.fail(source.name)
            return False
        if self._flags.faults:
            generator = Deadly(generator)
        self._metrics.watch(source.name, generator.load)
        self._registry.add(source.name, generator)
        log.info("model %s: AVAILABLE after %.1f s", source.name, time.monotonic() - started)
        return True
