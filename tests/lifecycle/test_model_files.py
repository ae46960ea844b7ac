"""What model files on this machine say of the memory that they need."""

import json
from pathlib import Path
from typing import Any

import pytest

from lifecycle.model_files import read_model_files
from planner.demand import ModelFiles
from planner.settings import Settings
from tests.planner.worlds import make_settings

MIB = 1 << 20


def settings_of(directory: Path, **models: Any) -> Settings:
    return make_settings(models={"directory": str(directory), "names": ["m"], **models})


def write(file: Path, mib: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as its:
        its.truncate(int(mib * MIB))


def configure(directory: Path, *entries: dict[str, Any], key: str = "model_config_list") -> None:
    config = {"model_config_list": [], key: [{"config": its} for its in entries]}
    if key == "mediapipe_config_list":
        config[key] = list(entries)
    (directory / "config.json").write_text(json.dumps(config))


def test_the_weights_of_one_model_are_all_files_of_the_openvino_format(tmp_path: Path) -> None:
    write(tmp_path / "m/openvino_model.bin", 3)
    write(tmp_path / "m/openvino_tokenizer.bin", 0.5)
    write(tmp_path / "m/model.safetensors", 40)

    found = read_model_files(settings_of(tmp_path, single={"path": "m"}))

    assert found == ModelFiles(weights_mib=4, cache_gb=None)


@pytest.mark.parametrize("name", ["m/1/openvino_model.bin", "m/model.Q4.gguf"])
def test_weights_are_found_in_a_version_s_directory_and_in_one_file(
    name: str, tmp_path: Path
) -> None:
    write(tmp_path / name, 3)

    found = read_model_files(settings_of(tmp_path, single={"path": "m"}))

    assert found is not None
    assert found.weights_mib == 3


def test_the_models_of_a_config_json_add_up(tmp_path: Path) -> None:
    """By name, by a path as the server has it, and by a graph that names the weights."""
    write(tmp_path / "first/openvino_model.bin", 3)
    write(tmp_path / "second-ir/openvino_model.bin", 4)
    write(tmp_path / "weights/third/openvino_model.bin", 5)
    (tmp_path / "first/graph.pbtxt").write_text("plugin_config: '{}', cache_size: 2,")
    (tmp_path / "second-ir/graph.pbtxt").write_text('models_path: "./"\ncache_size: 3')
    graph = tmp_path / "graphs/third.pbtxt"
    graph.parent.mkdir()
    graph.write_text('models_path: "/workspace/weights/third", cache_size: 1')
    configure(
        tmp_path,
        {"name": "first"},
        {"name": "second", "base_path": "/workspace/second-ir"},
        {"name": "third", "base_path": "graphs", "graph_path": "third.pbtxt"},
    )

    found = read_model_files(settings_of(tmp_path))

    assert found == ModelFiles(weights_mib=12, cache_gb=6)


@pytest.mark.parametrize("graph", ["cache_size: 0", "max_num_seqs: 9", None])
def test_one_cache_that_grows_leaves_all_of_them_unknown(graph: str | None, tmp_path: Path) -> None:
    write(tmp_path / "m/openvino_model.bin", 3)
    write(tmp_path / "n/openvino_model.bin", 3)
    (tmp_path / "n/graph.pbtxt").write_text("cache_size: 2")
    if graph is not None:
        (tmp_path / "m/graph.pbtxt").write_text(graph)
    configure(tmp_path, {"name": "m"}, {"name": "n"}, key="mediapipe_config_list")

    found = read_model_files(settings_of(tmp_path))

    assert found == ModelFiles(weights_mib=6, cache_gb=None)


def test_a_model_without_weights_says_nothing_of_the_others(tmp_path: Path) -> None:
    write(tmp_path / "m/openvino_model.bin", 3)
    configure(tmp_path, {"name": "m"}, {"name": "n"})

    assert read_model_files(settings_of(tmp_path)) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model_config_list": [3]}'])
def test_a_config_json_that_ovms_would_refuse_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)

    assert read_model_files(settings_of(tmp_path)) is None


def test_models_that_are_not_on_this_machine_say_nothing(tmp_path: Path) -> None:
    write(tmp_path / "m/openvino_model.bin", 3)
    models = {"directory": str(tmp_path), "names": ["m"], "single": {"path": "m"}}
    far = {"box": {"docker": "ssh://ops@box", "topology": "hosts/box.json"}}

    assert read_model_files(make_settings(models=models, hosts=far)) is None
    assert read_model_files(settings_of(tmp_path / "elsewhere")) is None
    assert read_model_files(make_settings()) is None
