"""What an instance runs: the server and its flags."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from planner.settings.base import Section, check_image, fault

_FLAG_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_USER = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")

# Flags that the program writes itself, and the setting that each is derived from.
_DERIVED_FLAGS = MappingProxyType(
    {
        "rest_port": "change server.rest-port",
        "rest_workers": "change server.max-concurrency",
        "log_level": "change server.log-level",
        "config_path": "change models.directory",
        "model_repository_path": "change models.directory",
        "model_name": "change models.names",
        "model_path": "change models.directory or models.single.path",
        "rest_bind_address": "leave it out: each instance has an address of its own",
        "metrics_enable": "leave it out: metrics are always on",
        "file_system_poll_wait_seconds": "leave it out: a changed model replaces the instance",
        "port": "leave it out: nothing here speaks gRPC",
    }
)

# Flags of one model; with --config_path OVMS ends with exit code 64 on each of them.
_MODEL_FLAGS = frozenset(
    {
        "batch_size",
        "cache_interval_multiplier",
        "cache_size",
        "draft_source_model",
        "dynamic_split_fuse",
        "enable_prefix_caching",
        "enable_tool_guided_generation",
        "kv_cache_precision",
        "max_num_batched_tokens",
        "max_num_seqs",
        "max_prompt_len",
        "model_distribution_policy",
        "model_version_policy",
        "nireq",
        "pipeline_type",
        "plugin_config",
        "pull",
        "reasoning_parser",
        "shape",
        "source_model",
        "target_device",
        "task",
        "tool_parser",
    }
)


def _flag_name(name: str) -> str:
    if not _FLAG_NAME.fullmatch(name):
        raise fault(
            f"{name!r} is not the name of a flag; write it as `ovms --help` does, without --"
        )
    if name in _DERIVED_FLAGS:
        raise fault(f"--{name} is written by the program itself; {_DERIVED_FLAGS[name]}")
    if name in _MODEL_FLAGS:
        raise fault(
            f"--{name} belongs to one model, and OVMS refuses it beside --config_path; "
            "write it in the model's graph.pbtxt, or use models.single"
        )
    return name


def _flag_value(value: Any) -> str | int | bool:
    if not isinstance(value, str | int):
        raise fault(f"{value!r} is no value of a flag; write text, a whole number, true or false")
    if isinstance(value, str) and ("\0" in value or "\n" in value):
        raise fault(f"{value!r} has a line break or a NUL; write it in one line")
    return value


FlagName = Annotated[str, AfterValidator(_flag_name)]
FlagValue = Annotated[
    str | int | bool,
    PlainValidator(_flag_value),
    WithJsonSchema({"type": ["string", "integer", "boolean"]}),
]


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise fault(f"{value!r} is not UID:GID in numbers; write such as '5000:5000'")
    if int(value.split(":")[0]) == 0:
        raise fault(f"{value!r} is root, which a model server need not be; write '5000:5000'")
    return value


class ServerSettings(Section):
    """The model server of every instance."""

    image: Annotated[str, AfterValidator(lambda image: check_image(image, "devserver"))] = Field(
        default="devserver",
        description="Image reference with tag or digest; or devserver, which is built here and "
        "stands in for OVMS.",
    )
    rest_port: int = Field(
        default=8000,
        ge=1,
        le=65535,
        description="First port of the instances; each has its own, and one more moves none.",
    )
    max_concurrency: int = Field(
        default=256,
        ge=1,
        le=9999,
        description="Generations that one instance runs at once; more wait in it.",
    )
    hang_timeout_s: Annotated[int, Field(ge=60, le=86_400)] = Field(
        default=900,
        description="Seconds that an instance with requests in progress may answer nothing before "
        "its container kills it, and Docker starts it again; at least balancer.read-timeout-s.",
    )
    log_level: Literal["ERROR", "WARNING", "INFO", "DEBUG", "TRACE"] = Field(
        default="INFO", description="ERROR, WARNING, INFO, DEBUG or TRACE."
    )
    weights: Literal["private", "shared"] | None = Field(
        default=None,
        description="How an instance holds the weights: private (a copy of its own on its NUMA "
        "node) or shared (mapped from the host's one page cache); null: private with "
        "models.single, else what each model's graph.pbtxt says.",
    )
    flags: Mapping[FlagName, FlagValue] = Field(
        default={},
        description="More of the server's own flags, by name without --; "
        "true writes the bare flag, false leaves it out.",
    )
    user: Annotated[str, AfterValidator(_user)] = Field(
        default="5000:5000", description="UID:GID that the server runs as; not root."
    )
