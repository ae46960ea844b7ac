"""
The HTTP API: OpenVINO Model Server's paths, with its status codes.

Source: model_server's ``src/http_rest_api_handler.cpp`` and ``src/http_server.cpp`` (codes).
"""

import asyncio
import time
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import NAME, VERSION
from .completions import Completions
from .metrics import Metrics
from .registry import Registry


def make_app(
    registry: Registry, metrics: Metrics, *, rest_workers: int, metrics_enable: bool
) -> Starlette:
    """
    Build the API over the models of *registry*, which may still be loading.

    Args:
        registry: the models.
        metrics: where requests are counted.
        rest_workers: one more than the generations that run at once.
        metrics_enable: answer ``/metrics``; else 400.
    """
    # OVMS gives one thread of the pool to its own loop for good.
    slots = asyncio.Semaphore(rest_workers - 1)
    chat = Completions(chat=True, registry=registry, metrics=metrics, slots=slots)
    plain = Completions(chat=False, registry=registry, metrics=metrics, slots=slots)
    views = _Views(registry, metrics, metrics_enable=metrics_enable)
    return Starlette(
        routes=[
            Route("/v3/chat/completions", chat, methods=["POST"]),
            Route("/v3/completions", plain, methods=["POST"]),
            Route("/v3/models", views.models),
            Route("/v3/models/{name:path}", views.model),
            Route("/v2", views.server),
            Route("/v2/health/live", views.live),
            Route("/v2/health/ready", views.ready),
            Route("/v2/models/{name:path}/ready", views.model_ready),
            Route("/v2/models/{name:path}", views.model_metadata),
            Route("/v1/config", views.config),
            Route("/metrics", views.metrics),
        ],
        exception_handlers={HTTPException: _no_such_url},
    )


def _no_such_url(_request: Request, error: Exception) -> Response:
    """Answer as OVMS does: 400 for a path that it does not know, 406 for another method."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return _error(406, "Unsupported method")
    return _error(400, "Invalid request URL")


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)


class _Views:
    """Everything that does not generate; it answers however busy the engines are."""

    def __init__(self, registry: Registry, metrics: Metrics, *, metrics_enable: bool) -> None:
        self._registry = registry
        self._metrics = metrics
        self._metrics_enable = metrics_enable

    async def models(self, _request: Request) -> Response:
        data = [_entry(name) for name, _ in self._registry.available()]
        return JSONResponse({"object": "list", "data": data})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not self._registry.has(name):
            return _error(500, "Model not found")
        return JSONResponse(_entry(name))

    async def server(self, _request: Request) -> Response:
        return JSONResponse({"name": NAME, "version": VERSION})

    async def live(self, _request: Request) -> Response:
        return Response()

    async def ready(self, _request: Request) -> Response:
        if not self._registry.started:
            return _error(503, "Server is not ready")
        return Response()

    async def model_ready(self, request: Request) -> Response:
        if not self._registry.has(request.path_params["name"]):
            return _error(404, "Model with requested name is not found or not ready")
        return Response()

    async def model_metadata(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not self._registry.has(name):
            return _error(404, "Model with requested name is not found")
        return JSONResponse(
            {
                "name": name,
                "versions": ["1"],
                "platform": "OpenVINO GenAI",
                "inputs": [],
                "outputs": [],
            }
        )

    async def config(self, _request: Request) -> Response:
        return JSONResponse(self._registry.statuses())

    async def metrics(self, _request: Request) -> Response:
        if not self._metrics_enable:
            return _error(400, "Metrics are not enabled: start with --metrics_enable")
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(time.time()), "owned_by": NAME}
