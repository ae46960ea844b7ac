"""Which models there are: from the command line, or from OpenVINO Model Server's config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import LoadError
from .flags import Flags, Scheduling
from .graph import parse_graph


@dataclass(frozen=True, slots=True)
class ModelSource:
    """
    A model that is to be served.

    Attributes:
        name: what clients call it.
        folder: where its files are.
        scheduling: how to batch, or None to read it from the folder's graph.pbtxt.
    """

    name: str
    folder: Path
    scheduling: Scheduling | None

    def read_scheduling(self) -> Scheduling:
        """
        Say how to batch.

        Raises:
            LoadError: graph.pbtxt is needed and missing, or not of a text generation model.
        """
        if self.scheduling is not None:
            return self.scheduling
        graph = self.folder / "graph.pbtxt"
        try:
            return parse_graph(graph.read_text())
        except OSError as error:
            raise LoadError(
                f"{graph} cannot be read ({error.strerror}), so {self.name!r} is not a text "
                "generation model. Write one beside the model."
            ) from None


def find_models(flags: Flags) -> tuple[ModelSource, ...]:
    """
    List the models that *flags* name.

    Raises:
        LoadError: config.json cannot be read, or is not what OVMS's schema says.
    """
    if flags.config_path is not None:
        return read_config(Path(flags.config_path))
    folder = Path(flags.model_path or "")
    from_graph = (folder / "graph.pbtxt").is_file() and not flags.in_memory
    scheduling = None if from_graph else flags.scheduling
    return (ModelSource(flags.model_name or "", folder, scheduling),)


def read_config(path: Path) -> tuple[ModelSource, ...]:
    """
    Read ``model_config_list`` of the config.json at *path*.

    A relative base_path starts at the folder of config.json, where a missing one is the name.

    Raises:
        LoadError: it cannot be read, is not JSON, or an entry has no name.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LoadError(
            f"{path} cannot be read: {error}. Give --config_path a JSON file."
        ) from None
    entries = document.get("model_config_list") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise LoadError(f"{path} has no list model_config_list. Write one, if only an empty one.")
    models = tuple(_entry(path, index, entry) for index, entry in enumerate(entries))
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LoadError(f"{path} has {twice[0]!r} more than once. Give each model its own name.")
    return models


def _entry(path: Path, index: int, entry: object) -> ModelSource:
    config: Mapping[str, Any] | None = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("name"), str):
        raise LoadError(
            f"{path}: model_config_list/{index} has no config with a name. Give it one."
        )
    base = str(config.get("base_path", config["name"]))
    return ModelSource(config["name"], path.parent / base, None)
