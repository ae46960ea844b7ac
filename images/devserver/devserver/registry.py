"""Which models are loaded, failed or not yet tried, and how that is told to clients."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import RequestError
from .generation import Generator


@dataclass(slots=True)
class Registry:
    """
    The models of this server; changed by the loader, read by the API.

    A model appears only once its load was tried, as in OVMS: until then clients get 404.

    Attributes:
        started: every model was tried.
    """

    started: bool = False
    _models: dict[str, Generator | None] = field(default_factory=dict)

    def add(self, name: str, generator: Generator) -> None:
        """Enter a loaded model."""
        self._models[name] = generator

    def fail(self, name: str) -> None:
        """Enter a model that could not be loaded."""
        self._models[name] = None

    def find(self, name: str) -> Generator:
        """
        Return the loaded model *name*.

        Raises:
            RequestError: 404 where it is unknown or not yet tried, 500 where its load failed.
        """
        if name not in self._models:
            raise RequestError(404, "Mediapipe graph definition with requested name is not found")
        generator = self._models[name]
        if generator is None:
            raise RequestError(500, "Mediapipe graph definition is not loaded yet")
        return generator

    def available(self) -> tuple[tuple[str, Generator], ...]:
        """List the loaded models."""
        return tuple((name, made) for name, made in self._models.items() if made is not None)

    def has(self, name: str) -> bool:
        """Say whether *name* is loaded."""
        return self._models.get(name) is not None

    def statuses(self) -> Mapping[str, Any]:
        """Write what ``/v1/config`` answers."""
        return {name: _status(loaded=model is not None) for name, model in self._models.items()}


def _status(*, loaded: bool) -> dict[str, Any]:
    code = "OK" if loaded else "FAILED_PRECONDITION"
    state = "AVAILABLE" if loaded else "LOADING"
    return {
        "model_version_status": [
            {
                "version": "1",
                "state": state,
                "status": {"error_code": code, "error_message": code},
            }
        ]
    }
