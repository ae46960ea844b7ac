"""
What the files of a stack's models say of the memory they need, where they are on this machine.

Layouts as OVMS reads them: a directory a model with ``openvino_*.bin`` (or one GGUF file), which
may lie in a version's directory ``1``; ``config.json`` names the directories, and a model's
``graph.pbtxt`` the weights and the size of the KV cache (``cache_size``, in GB; 0 grows).
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from planner.demand import ModelFiles
from planner.server import MODELS_MOUNT
from planner.settings import Settings

_CACHE = re.compile(r"\bcache_size\s*:\s*(\d+)")
_MODELS_PATH = re.compile(r"\bmodels_path\s*:\s*[\"']([^\"']+)[\"']")
_MIB = 1 << 20


def read_model_files(settings: Settings) -> ModelFiles | None:
    """
    Read the sizes of the models of a stack.

    Returns:
        None where the models directory is not on this machine, or not all weights in it are found.
    """
    models = settings.models
    here = any(host.docker.startswith("unix:") for host in settings.hosts.values())
    directory = Path(models.directory)
    if models.directory == "prepared" or not here or not directory.is_dir():
        return None
    try:
        if models.single is not None:
            return _files({directory / models.single.path: ""})
        config = json.loads((directory / "config.json").read_text())
        graphs = (_graph(directory, entry) for entry in _entries(config))
        texts = {graph: graph.read_text() if graph.is_file() else "" for graph in graphs}
        return _files({_weights(directory, graph, its): its for graph, its in texts.items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        # OVMS says what is wrong with them when it starts; here they only say nothing.
        return None


def _files(graphs: Mapping[Path, str]) -> ModelFiles | None:
    """Read what lies in each model's folder, with the text of its graph.pbtxt, "" for none."""
    sizes = [_size(folder) for folder in graphs]
    if not sizes or not all(sizes):
        return None
    caches = [int(match[1]) if (match := _CACHE.search(its)) else 0 for its in graphs.values()]
    return ModelFiles(
        weights_mib=-(-sum(sizes) // _MIB),
        # One that grows has no size, and so has all of them together.
        cache_gb=sum(caches) if all(caches) else None,
    )


def _size(folder: Path) -> int:
    """Return how many bytes of weights lie in *folder*; 0 where none are found."""
    for place in (folder, folder / "1"):
        for pattern in ("openvino_*.bin", "*.gguf"):
            if size := sum(file.stat().st_size for file in place.glob(pattern)):
                return size
    return 0


def _entries(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in config["model_config_list"]:
        yield entry["config"]
    yield from config.get("mediapipe_config_list", ())


def _graph(directory: Path, entry: Mapping[str, Any]) -> Path:
    """Return where the graph.pbtxt of a model of config.json is, or would be."""
    base = _seen_here(directory, directory, entry.get("base_path", entry["name"]))
    return _seen_here(directory, base, entry.get("graph_path", "graph.pbtxt"))


def _weights(directory: Path, graph: Path, text: str) -> Path:
    match = _MODELS_PATH.search(text)
    return _seen_here(directory, graph.parent, match[1] if match else ".")


def _seen_here(directory: Path, above: Path, path: str) -> Path:
    """Return the place on this machine of a *path* as the server in its container has it."""
    inside = PurePosixPath(path)
    if inside.is_relative_to(MODELS_MOUNT):
        return directory / inside.relative_to(MODELS_MOUNT)
    return above / inside
