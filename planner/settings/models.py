"""The models that every instance serves: those of a config.json, or one by OVMS's own flags."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from planner.settings.base import FromList, Section, fault

# The model that this project prepares for development, and nothing else is prepared.
PREPARED_MODEL = "smollm2-135m-instruct"
# Its openvino_model.bin and tokenizers have 90.7 MiB; its graph.pbtxt asks for 1 GB of KV cache.
# Measured in one instance: 242 MiB without a request, 1333 MiB with the cache full.
PREPARED_WEIGHTS_MIB = 96
PREPARED_CACHE_GB = 1

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
_PROPERTY = re.compile(r"[A-Z][A-Z0-9_]*")
_WORD = re.compile(r"[a-z0-9]+")
MIB_PER_GB = 1024

# OpenVINO properties that are written from other settings; OVMS refuses a property twice.
_DERIVED_PROPERTIES = {
    "INFERENCE_NUM_THREADS": "is as many as the instance has CPUs; change placement.smt",
    "ENABLE_MMAP": "says whether weights are mapped; change server.weights",
    "KV_CACHE_PRECISION": "is a flag of OVMS too, which refuses both; write kv-cache-precision",
}


def _directory(value: str) -> str:
    if value != "prepared" and (not value.startswith("/") or ".." in value.split("/")):
        raise fault(
            f"{value!r} is not an absolute path without '..'; write the directory on the host "
            "that holds config.json, or prepared"
        )
    return value


def _model_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if "/" in name:
            # OVMS matches the path as sent, and clients encode a slash in a name as %2F.
            raise fault(
                f"{name!r} has a slash, which a URL cannot carry inside a name; "
                f"write {name.replace('/', '-')} here and in config.json"
            )
        if not _MODEL_NAME.fullmatch(name):
            raise fault(
                f"{name!r} is not a model name; write letters, digits, '.', '_' and '-', "
                "with a letter or digit first"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise fault(f"{', '.join(twice)} is there twice; write each model once")
    return names


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or {".", ".."} & set(value.split("/")):
        raise fault(
            f"{value!r} is not a path below models.directory; write the model's own directory "
            "there, such as llama-3-8b, without '/' at the ends and without '..'"
        )
    return value


def _property_name(name: str) -> str:
    if not _PROPERTY.fullmatch(name):
        raise fault(f"{name!r} is not an OpenVINO property; write it in capitals, as NUM_STREAMS")
    if name in _DERIVED_PROPERTIES:
        raise fault(f"{name} {_DERIVED_PROPERTIES[name]}")
    return name


def _property_value(value: Any) -> str | int | float | bool:
    if not isinstance(value, str | int | float):
        raise fault(f"{value!r} is no value of a property; write text, a number, true or false")
    return value


def _precision(value: str | None) -> str | None:
    if value is not None and not _WORD.fullmatch(value):
        raise fault(f"{value!r} is not the name of a precision; write one such as u8")
    return value


Properties = Mapping[
    Annotated[str, AfterValidator(_property_name)],
    Annotated[
        str | int | float | bool,
        PlainValidator(_property_value),
        WithJsonSchema({"type": ["string", "number", "boolean"]}),
    ],
]

ToolParser = Literal[
    "llama3", "phi4", "hermes3", "mistral", "qwen3coder", "gptoss", "devstral", "lfm2", "gemma4",
    "onyx", "minicpm5", "none",
]  # fmt: skip
ReasoningParser = Literal["qwen3", "gptoss", "lfm2", "gemma4", "onyx", "minicpm5", "none"]


class SingleModelSettings(Section):
    """
    One model served by OVMS's own flags, without a config.json.

    Source of flags and ranges: OVMS's ``src/graph_export/graph_cli_parser.cpp``. Its graph is made
    in memory at each start, so that the models directory needs no graph.pbtxt. A setting of null
    leaves its flag out, and OVMS decides.
    """

    path: Annotated[str, AfterValidator(_path)] = Field(
        description="Directory of the model below models.directory."
    )
    cache_size: int = Field(
        default=0, ge=0, le=65536, description="KV cache in GB; 0 grows as requests need it."
    )
    max_num_seqs: int | None = Field(
        default=None, ge=1, le=65536, description="Sequences generated at once."
    )
    max_num_batched_tokens: int | None = Field(
        default=None, ge=1, le=1 << 31, description="Tokens of one engine step."
    )
    enable_prefix_caching: bool | None = Field(
        default=None, description="Keep the KV cache of prompts for later ones that start alike."
    )
    dynamic_split_fuse: bool | None = Field(
        default=None, description="Let a step take a part of a long prompt."
    )
    kv_cache_precision: Annotated[str | None, AfterValidator(_precision)] = Field(
        default=None, description="Number format of the KV cache, such as u8."
    )
    tool_parser: ToolParser | None = Field(
        default=None, description="Reads tool calls out of the model's text."
    )
    reasoning_parser: ReasoningParser | None = Field(
        default=None, description="Reads reasoning out of the model's text."
    )
    enable_tool_guided_generation: bool | None = Field(
        default=None, description="Make the model keep to the tools' schemas."
    )
    plugin_config: Properties = Field(
        default={}, description="More OpenVINO properties of the CPU, by name."
    )


class ModelSettings(Section):
    """The models that every instance serves, all of them."""

    directory: Annotated[str, AfterValidator(_directory)] = Field(
        default="prepared",
        description="Absolute path on the host of the directory with config.json, which the "
        "server's user can read and which is mounted at /workspace; or prepared, the small model "
        "that this project prepares for development.",
    )
    names: Annotated[
        tuple[str, ...], FromList, Field(min_length=1), AfterValidator(_model_names)
    ] = Field(
        default=(PREPARED_MODEL,), description="Names of the models, as config.json has them."
    )
    memory_mib: int | None = Field(
        default=None,
        ge=1,
        description="Memory that one instance needs, in MiB, checked against its NUMA node's and "
        "the limit of its container; null: the sum of the three below.",
    )
    weights_mib: int | None = Field(
        default=None,
        ge=1,
        description="Memory of the loaded weights of all models in one instance, in MiB; null: "
        "known of the prepared model, at least the files of models on this machine.",
    )
    cache_size: int | None = Field(
        default=None,
        ge=0,
        le=65536,
        description="KV cache in GB of all models of config.json together, as cache_size in their "
        "graph.pbtxt files; null: not known, but of the prepared model.",
    )
    overhead_mib: int | None = Field(
        default=None,
        ge=0,
        description="Memory of one instance beside weights and KV cache, in MiB; null: 512 and "
        "half of the weights, 4096 at most.",
    )
    single: SingleModelSettings | None = Field(
        default=None,
        description="One model by OVMS's own flags, without config.json; null: those of "
        "config.json.",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A directory has models that only the operator knows; a prepared one has its one."""
        if self.directory != "prepared" and "names" not in self.model_fields_set:
            yield (
                "names",
                f"is missing: models.directory is {self.directory!r}, a path without model; "
                "write the names of the models that its config.json lists",
            )
        if self.directory == "prepared" and self.names != (PREPARED_MODEL,):
            yield (
                "names",
                f"{list(self.names)} cannot be served: the prepared directory holds only "
                f"{PREPARED_MODEL}; write [{PREPARED_MODEL}], or a path in models.directory",
            )
        if self.single is not None:
            yield from self._single_contradictions(self.single)
        elif self.directory == "prepared" and self.cache_size not in (None, PREPARED_CACHE_GB):
            yield (
                "cache-size",
                f"{self.cache_size} GB is not what the prepared model's graph.pbtxt asks for, "
                f"which is {PREPARED_CACHE_GB}; leave it out, or write models.single.cache-size",
            )
        yield from self._memory_contradictions()

    def _memory_contradictions(self) -> Iterator[tuple[str, str]]:
        parts = {
            "weights-mib": self.weights_mib,
            "cache-size": self.cache_size,
            "overhead-mib": self.overhead_mib,
        }
        written = [key for key, value in parts.items() if value is not None]
        if self.memory_mib is not None and written:
            yield (
                "memory-mib",
                f"{self.memory_mib} is all that an instance needs, and {' and '.join(written)} a "
                "part of that; leave the one or the other out",
            )
        if self.single is not None and self.cache_size is not None:
            yield (
                "cache-size",
                f"{self.cache_size} is for the models of config.json, and models.single has a "
                "cache-size of its own; write it there",
            )

    def _single_contradictions(self, single: SingleModelSettings) -> Iterator[tuple[str, str]]:
        if len(self.names) > 1:
            yield (
                "names",
                f"{list(self.names)} are {len(self.names)} models, and models.single serves one; "
                "write its one name, or leave models.single out",
            )
        if self.directory == "prepared" and single.path != PREPARED_MODEL:
            yield (
                "single.path",
                f"{single.path!r} is not in the prepared directory, which holds only "
                f"{PREPARED_MODEL}; write that, or a path in models.directory",
            )
        cache_mib = single.cache_size * MIB_PER_GB
        if self.memory_mib is not None and cache_mib >= self.memory_mib:
            yield (
                "single.cache-size",
                f"{single.cache_size} GB of KV cache are {cache_mib} MiB, and "
                f"models.memory-mib is {self.memory_mib} for cache and weights together; "
                "lower the one or raise the other",
            )
