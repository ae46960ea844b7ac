"""The models directory, read as OVMS reads it."""

import json
from pathlib import Path

import pytest

from images.devserver.devserver.errors import LoadError
from images.devserver.devserver.flags import parse_flags
from images.devserver.devserver.graph import parse_graph, render_graph
from images.devserver.devserver.models import find_models, read_config

# A graph as OVMS's export tool writes it, with a comment and single quotes around JSON.
EXPORTED = """
# OVMS_GRAPH_QUEUE_MAX_SIZE: AUTO  (cache_size: 99)
node: {
  calculator: "HttpLLMCalculator"
  node_options: {
      [type.googleapis.com / mediapipe.LLMCalculatorOptions]: {
          models_path: "./",
          plugin_config: '{ "KV_CACHE_PRECISION": "u8"}',
          enable_prefix_caching: false,
          cache_size: 10,
          max_num_batched_tokens: 512,
          dynamic_split_fuse: false,
          max_num_seqs: 64,
          device: "CPU",
      }
  }
}
"""


def test_an_exported_graph_is_understood() -> None:
    scheduling = parse_graph(EXPORTED)

    assert scheduling.cache_size == 10
    assert scheduling.max_num_seqs == 64
    assert scheduling.max_num_batched_tokens == 512
    assert not scheduling.enable_prefix_caching
    assert not scheduling.dynamic_split_fuse
    assert scheduling.plugin_config == {"KV_CACHE_PRECISION": "u8"}


def test_a_graph_that_says_nothing_has_ovms_s_defaults() -> None:
    scheduling = parse_graph("[type.googleapis.com/mediapipe.LLMCalculatorOptions] {}")

    assert scheduling.cache_size == 0
    assert scheduling.max_num_seqs == 256
    assert scheduling.max_num_batched_tokens == 256
    assert not scheduling.enable_prefix_caching
    assert scheduling.dynamic_split_fuse


def test_the_graph_that_is_written_is_read_back() -> None:
    scheduling = parse_graph(render_graph(cache_size=3))

    assert scheduling.cache_size == 3
    assert scheduling.enable_prefix_caching


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("node {}", "no LLMCalculatorOptions"),
        ('LLMCalculatorOptions { device: "GPU" }', "'GPU'"),
        ('LLMCalculatorOptions { plugin_config: "[1]" }', "not an object"),
    ],
)
def test_a_graph_that_cannot_be_served_here_is_refused(text: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        parse_graph(text)


def _config(folder: Path, document: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


def test_base_paths_start_at_the_folder_of_config_json(tmp_path: Path) -> None:
    path = _config(
        tmp_path,
        {
            "model_config_list": [
                {"config": {"name": "a", "base_path": "x/a"}},
                {"config": {"name": "b", "base_path": "/else/b"}},
                {"config": {"name": "c"}},
            ]
        },
    )

    folders = {model.name: model.folder for model in read_config(path)}

    assert folders == {"a": tmp_path / "x/a", "b": Path("/else/b"), "c": tmp_path / "c"}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "no list model_config_list"),
        ({"model_config_list": {}}, "no list model_config_list"),
        ({"model_config_list": [{"config": {}}]}, "model_config_list/0 has no config with a name"),
        ({"model_config_list": [{"config": {"name": "a"}}] * 2}, "'a' more than once"),
    ],
)
def test_a_config_that_ovms_would_refuse_is_refused(
    tmp_path: Path, document: object, said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        read_config(_config(tmp_path, document))


def test_a_config_that_is_missing_or_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{")

    for path in (tmp_path / "none", tmp_path / "broken"):
        with pytest.raises(LoadError, match="cannot be read"):
            read_config(path)


def test_a_model_of_a_config_without_a_graph_is_no_text_generation_model(tmp_path: Path) -> None:
    (model,) = read_config(_config(tmp_path, {"model_config_list": [{"config": {"name": "a"}}]}))

    with pytest.raises(LoadError, match=r"graph\.pbtxt cannot be read"):
        model.read_scheduling()


def test_the_one_model_uses_its_graph_unless_a_flag_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "graph.pbtxt").write_text(render_graph(cache_size=7))
    argv = ["--model_name", "m", "--model_path", str(tmp_path), "--rest_port", "1"]

    (from_graph,) = find_models(parse_flags(argv))
    (from_flags,) = find_models(parse_flags([*argv, "--cache_size", "2"]))

    assert from_graph.read_scheduling().cache_size == 7
    assert from_flags.read_scheduling().cache_size == 2
