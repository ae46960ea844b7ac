"""
Turn a GGUF file into the models directory that OpenVINO Model Server serves.

``python3 -m devserver.convert --gguf FILE --output DIR --name NAME`` writes ``DIR/NAME/`` (OpenVINO
IR, tokenizers, graph.pbtxt and what else OVMS reads) and enters it in ``DIR/config.json``. A second
run for the same file and options does nothing. GGUF itself cannot be served from a read-only mount.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .errors import LoadError
from .gguf import Value, read_metadata
from .graph import render_graph

_FORMAT: Final = 1
"""Raise it when other files are written for the same model: it makes old results incomplete."""

_MARKER: Final = ".converted.json"
_IR: Final = tuple(
    f"openvino_{part}.{ending}"
    for part in ("model", "tokenizer", "detokenizer")
    for ending in ("xml", "bin")
)


def convert(gguf: Path, output: Path, name: str, *, cache_size: int) -> bool:
    """
    Write the model *name* of *gguf* below *output*, whole or not at all.

    Args:
        gguf: the model; is only read.
        output: the models directory, writable.
        name: the folder's name and what clients call the model.
        cache_size: the KV cache in GB that graph.pbtxt asks for; 0 grows as needed.

    Returns:
        Whether anything was written; False where it was complete already.

    Raises:
        LoadError: *gguf* cannot be read, or its model is of a kind that has no converter.
    """
    identity = {"source": _sha256(gguf), "format": _FORMAT, "cache-size": cache_size}
    target = output / name
    if _complete(target, identity):
        _enter(output, name)
        return False
    for left in output.glob(".converting-*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=output) as made:
        folder = Path(made) / "model"
        folder.mkdir()
        _fill(folder, gguf, cache_size)
        (folder / _MARKER).write_text(json.dumps(identity))
        _open_for_all(folder)
        if target.exists():
            target.rename(Path(made) / "old")
        folder.rename(target)
    _enter(output, name)
    return True


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}. Copy it there first.") from None


def _complete(target: Path, identity: Mapping[str, Any]) -> bool:
    try:
        found = json.loads((target / _MARKER).read_text())
    except (OSError, ValueError):
        return False
    return bool(found == identity) and all((target / file).is_file() for file in _IR)


def _fill(folder: Path, gguf: Path, cache_size: int) -> None:
    metadata = read_metadata(gguf)
    # OpenVINO opens a GGUF for writing too and puts the IR beside it.
    copy = folder / "model.gguf"
    shutil.copyfile(gguf, copy)
    template, tokens = _save_ir(copy)
    copy.unlink()
    for file, content in _descriptions(metadata, template, tokens).items():
        (folder / file).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    (folder / "chat_template.jinja").write_text(template)
    (folder / "graph.pbtxt").write_text(render_graph(cache_size=cache_size))


def _save_ir(gguf: Path) -> tuple[str, dict[str, Any]]:
    """Write the IR beside *gguf*; return the chat template and the special tokens."""
    # A second to import, and not needed where nothing is to do; only the image has it.
    import openvino_genai  # type: ignore[import-not-found]

    try:
        pipeline = openvino_genai.LLMPipeline(gguf, "CPU", enable_save_ov_model=True)
    except RuntimeError as error:
        raise LoadError(f"{gguf.name} was not converted: {error}. Use another model.") from None
    tokenizer = pipeline.get_tokenizer()
    tokens = {
        f"{kind}_token{suffix}": getattr(tokenizer, f"get_{kind}_token{suffix}")()
        for kind in ("bos", "eos", "pad")
        for suffix in ("", "_id")
    }
    return str(tokenizer.chat_template), tokens


def _descriptions(
    metadata: Mapping[str, Value], template: str, tokens: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write the JSON files that OVMS takes the context length, defaults and template from."""
    kind = str(metadata.get("general.architecture"))
    length = metadata.get(f"{kind}.context_length")
    if not isinstance(length, int):
        raise LoadError(f"the GGUF has no {kind}.context_length. Use a model that says it.")
    ids = {key: value for key, value in tokens.items() if key.endswith("_id")}
    names = {key: value for key, value in tokens.items() if not key.endswith("_id")}
    config = {
        "architectures": [f"{kind.capitalize()}ForCausalLM"],
        "model_type": kind,
        "max_position_embeddings": length,
        "num_hidden_layers": metadata.get(f"{kind}.block_count"),
        "hidden_size": metadata.get(f"{kind}.embedding_length"),
        **ids,
    }
    return {
        "config.json": config,
        "generation_config.json": ids,
        "tokenizer_config.json": {"chat_template": template, **names},
    }


def _open_for_all(folder: Path) -> None:
    """Let every user read it: the server may run as another one than the converter."""
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)


def _enter(output: Path, name: str) -> None:
    """Name the model in config.json, beside the others that are there."""
    path = output / "config.json"
    entry = {"config": {"name": name, "base_path": name}}
    try:
        entries = json.loads(path.read_text())["model_config_list"]
    except (OSError, ValueError, KeyError, TypeError):
        entries = []
    others = [other for other in entries if other.get("config", {}).get("name") != name]
    text = json.dumps({"model_config_list": [*others, entry]}, indent=2) + "\n"
    if path.is_file() and path.read_text() == text:
        return
    partial = output / ".config.json.new"
    partial.write_text(text)
    partial.chmod(0o644)
    os.replace(partial, path)  # noqa: PTH105 - replaces, as Path.rename does only on POSIX


def main(argv: Sequence[str]) -> int:
    """
    Convert as *argv* says.

    Returns:
        The exit code: 0, or 1 with one sentence on stderr.
    """
    parser = argparse.ArgumentParser(prog="python3 -m devserver.convert", description=__doc__)
    parser.add_argument("--gguf", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--cache-size", type=int, default=1, help="GB, for graph.pbtxt")
    options = parser.parse_args(argv)
    try:
        written = convert(options.gguf, options.output, options.name, cache_size=options.cache_size)
    except LoadError as error:
        print(f"converting {options.name}: {error}", file=sys.stderr)
        return 1
    print(f"{options.name}: {'converted' if written else 'already there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
