"""From a GGUF file to a models directory, with the engine's part of it replaced."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from images.devserver.devserver import convert
from images.devserver.devserver.errors import LoadError
from images.devserver.devserver.gguf import read_metadata
from images.devserver.devserver.models import read_config

TEMPLATE = "{{ messages }}"


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _gguf(context: int = 8192) -> bytes:
    """A GGUF header with a string, a number and an array of strings, and no tensors."""
    pairs = [
        _string("general.architecture") + struct.pack("<I", 8) + _string("llama"),
        _string("tokens") + struct.pack("<IIQ", 9, 8, 2) + _string("a") + _string("b"),
        _string("llama.context_length") + struct.pack("<II", 4, context),
        _string("llama.block_count") + struct.pack("<II", 4, 30),
    ]
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs)) + b"".join(pairs)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GGUF, and an engine that writes empty IR beside its own copy of it."""

    def save(gguf: Path) -> tuple[str, dict[str, Any]]:
        assert gguf.read_bytes() == path.read_bytes()
        for ending in ("xml", "bin"):
            for part in ("model", "tokenizer", "detokenizer"):
                (gguf.parent / f"openvino_{part}.{ending}").touch()
        return TEMPLATE, {"eos_token": "<end>", "eos_token_id": 2}

    path = tmp_path / "in" / "some.gguf"
    path.parent.mkdir()
    path.write_bytes(_gguf())
    monkeypatch.setattr(convert, "_save_ir", save)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def test_the_directory_is_laid_out_as_ovms_wants_it(source: Path, output: Path) -> None:
    assert convert.convert(source, output, "tiny", cache_size=4)

    (model,) = read_config(output / "config.json")
    assert model.name == "tiny"
    assert model.folder == output / "tiny"
    assert model.read_scheduling().cache_size == 4
    assert json.loads((model.folder / "config.json").read_text()) == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "max_position_embeddings": 8192,
        "num_hidden_layers": 30,
        "hidden_size": None,
        "eos_token_id": 2,
    }
    assert json.loads((model.folder / "generation_config.json").read_text()) == {"eos_token_id": 2}
    assert (model.folder / "chat_template.jinja").read_text() == TEMPLATE
    assert not (model.folder / "model.gguf").exists()
    assert {path.stat().st_mode & 0o777 for path in model.folder.iterdir()} == {0o644}


def test_a_second_run_does_nothing(source: Path, output: Path) -> None:
    convert.convert(source, output, "tiny", cache_size=1)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}

    assert not convert.convert(source, output, "tiny", cache_size=1)

    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


@pytest.mark.parametrize("change", ["source", "cache-size", "missing file"])
def test_what_is_out_of_date_is_converted_again(source: Path, output: Path, change: str) -> None:
    convert.convert(source, output, "tiny", cache_size=1)
    if change == "source":
        source.write_bytes(_gguf(context=4096))
    if change == "missing file":
        (output / "tiny" / "openvino_model.bin").unlink()

    assert convert.convert(source, output, "tiny", cache_size=2 if change == "cache-size" else 1)

    assert (output / "tiny" / "openvino_model.bin").exists()
    assert sorted(path.name for path in output.iterdir()) == ["config.json", "tiny"]


def test_another_model_is_entered_beside_the_first(source: Path, output: Path) -> None:
    convert.convert(source, output, "one", cache_size=1)
    convert.convert(source, output, "two", cache_size=1)

    assert [model.name for model in read_config(output / "config.json")] == ["one", "two"]


def test_a_failed_conversion_leaves_nothing_half(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> tuple[str, dict[str, Any]]:
        raise LoadError("model.gguf was not converted: unknown architecture. Use another model.")

    monkeypatch.setattr(convert, "_save_ir", refuse)

    code = convert.main(["--gguf", str(source), "--output", str(output), "--name", "tiny"])

    assert code == 1
    assert "converting tiny: model.gguf was not converted" in capsys.readouterr().err
    assert list(output.iterdir()) == []


def test_a_file_that_is_not_gguf_or_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    for content, said in ((b"GGML" + _gguf()[4:], "not GGUF"), (_gguf()[:-6], "cut off")):
        path.write_bytes(content)
        with pytest.raises(LoadError, match=said):
            read_metadata(path)


def test_metadata_after_an_array_is_read(source: Path) -> None:
    assert read_metadata(source)["llama.context_length"] == 8192
