"""
The command line: OpenVINO Model Server's flags, and two of the devserver's own.

Source of names, defaults and rules: model_server's ``src/cli_parser.cpp`` and ``src/config.cpp``
of 2026.3. Flags that this server has no use for are unknown to it, and unknown flags are fatal.
"""

import json
import os
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .errors import UsageError

LOG_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduling:
    """
    How the one scheduler of a model batches.

    Attributes:
        cache_size: the KV cache in GB; 0 grows as needed.
        max_num_seqs: sequences that are generated at once.
        max_num_batched_tokens: tokens of one engine step.
        enable_prefix_caching: keep the KV cache of prompts for later ones that start alike.
        dynamic_split_fuse: let a step take a part of a prompt beside other sequences.
        plugin_config: OpenVINO properties, which win over the devserver's own choice.
    """

    cache_size: int = 0
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 256
    enable_prefix_caching: bool = True
    dynamic_split_fuse: bool = True
    plugin_config: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """
    The checked command line.

    Attributes:
        config_path: the models' config.json, or None with *model_name* and *model_path*.
        model_name: the one model's public name, or None with *config_path*.
        model_path: the folder of the one model, or None with *config_path*.
        scheduling: of the one model; with *config_path* each model's graph.pbtxt has its own.
        in_memory: *scheduling* holds even where the model has a graph.pbtxt, because a flag of
            text generation is given.
        rest_port: the port of the HTTP API.
        rest_bind_addresses: the addresses it listens on.
        rest_workers: one more than the generations that run at once.
        metrics_enable: answer ``/metrics``.
        log_level: one of `LOG_LEVELS`.
        load_delay_s: seconds to wait before loading. The devserver's own, for tests.
        faults: go wrong where that is asked for. The devserver's own, for tests only.
    """

    config_path: str | None
    model_name: str | None
    model_path: str | None
    scheduling: Scheduling
    in_memory: bool
    rest_port: int
    rest_bind_addresses: tuple[str, ...]
    rest_workers: int
    metrics_enable: bool
    log_level: str
    load_delay_s: float
    faults: bool


def parse_flags(argv: Sequence[str]) -> Flags:
    """
    Read *argv*, flags as ``--name value`` or ``--name=value``.

    Raises:
        UsageError: the first thing that is wrong, with its value.
    """
    words = _pairs(argv)
    _check_models(words)
    value = _Reader(words)
    flags = Flags(
        config_path=words.get("config_path"),
        model_name=words.get("model_name"),
        model_path=words.get("model_path"),
        scheduling=_scheduling(value),
        in_memory=any(name in words for name in _SCHEDULING if name not in _SHARED),
        rest_port=value.number("rest_port", 0, 0, 65535),
        rest_bind_addresses=tuple(words.get("rest_bind_address", "0.0.0.0").split(",")),  # noqa: S104 - OVMS's default
        rest_workers=value.number("rest_workers", default_rest_workers(), 2, 10_000),
        metrics_enable="metrics_enable" in words,
        log_level=value.one_of("log_level", "INFO", LOG_LEVELS),
        load_delay_s=value.seconds("load-delay"),
        faults="faults" in words,
    )
    _check_rest(flags, words)
    value.number("port", 0, 0, 0)
    value.number("file_system_poll_wait_seconds", 1, 0, 2**32 - 1)
    return flags


def default_rest_workers() -> int:
    """Derive OVMS's default: a worker per CPU that is allowed here, as far as files allow."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(2, min(len(os.sched_getaffinity(0)), (files - 15) // 7))


_SCHEDULING: Final = (
    "task",
    "target_device",
    "cache_size",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enable_prefix_caching",
    "dynamic_split_fuse",
    "plugin_config",
)
_SHARED: Final = ("target_device", "plugin_config")
"""Flags of OVMS's other models too, which do not by themselves mean text generation."""
_KNOWN: Final = frozenset(
    (
        *_SCHEDULING,
        "config_path",
        "model_name",
        "model_path",
        "rest_port",
        "rest_bind_address",
        "rest_workers",
        "port",
        "metrics_enable",
        "log_level",
        "file_system_poll_wait_seconds",
        "load-delay",
        "faults",
    )
)
_BARE: Final = ("metrics_enable", "faults")
"""Flags that may stand without a value."""


def _pairs(argv: Sequence[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in _KNOWN:
            raise UsageError(f"unmatched arguments: {word}. Leave it out.")
        if name in words:
            raise UsageError(f"--{name} is given twice. Give it once.")
        if not equals and name not in _BARE:
            if not rest:
                raise UsageError(f"--{name} has no value. Give one.")
            value = rest.pop(0)
        words[name] = value
    return words


def _check_models(words: Mapping[str, str]) -> None:
    single = [name for name in ("model_name", "model_path") if name in words]
    if "config_path" in words:
        if single:
            raise UsageError("Use either config_path or model_path with model_name, not both.")
        extra = [name for name in _SCHEDULING if name in words]
        if extra:
            raise UsageError(
                f"unmatched arguments: --{extra[0]} with --config_path. "
                "Put it into the model's graph.pbtxt."
            )
    elif len(single) != 2:
        raise UsageError("No model is named. Use config_path, or model_path with model_name.")


def _check_rest(flags: Flags, words: Mapping[str, str]) -> None:
    if flags.rest_port == 0:
        raise UsageError("rest_port is not set. The API is on REST only: give --rest_port.")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (files - 15) // 6
    if "rest_workers" in words and flags.rest_workers > most:
        raise UsageError(
            f"rest_workers {flags.rest_workers} needs more than the {files} open files allowed "
            f"here. Raise ulimit nofile, or set rest_workers to {most} or less."
        )


def _scheduling(value: "_Reader") -> Scheduling:
    value.one_of("task", "text_generation", ("text_generation",))
    value.one_of("target_device", "CPU", ("CPU",))
    return Scheduling(
        cache_size=value.number("cache_size", 0, 0, 2**20),
        max_num_seqs=value.number("max_num_seqs", 256, 1, 2**20),
        max_num_batched_tokens=value.number("max_num_batched_tokens", 256, 1, 2**31),
        enable_prefix_caching=value.one_of("enable_prefix_caching", "true", _BOOL) == "true",
        dynamic_split_fuse=value.one_of("dynamic_split_fuse", "true", _BOOL) == "true",
        plugin_config=parse_plugin_config(value.text("plugin_config", "")),
    )


_BOOL: Final = ("true", "false")


def parse_plugin_config(text: str) -> dict[str, str | int | float | bool]:
    """
    Read OpenVINO properties from a JSON object of plain values; empty text has none.

    Raises:
        UsageError: it is not such an object.
    """
    try:
        parsed = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UsageError(f"plugin_config {text!r} is not JSON: {error}. Correct it.") from None
    plain = isinstance(parsed, dict) and all(
        isinstance(item, str | int | float | bool) for item in parsed.values()
    )
    if not plain:
        raise UsageError(
            f"plugin_config {text!r} is not an object of strings, numbers and booleans. "
            "Write it as one."
        )
    return dict(parsed)


class _Reader:
    """Reads single values, and says which flag was wrong."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        text = self._words.get(name, str(default))
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            raise UsageError(
                f"--{name} is {text!r}, not a whole number from {lowest} to {highest}. "
                "Give one in that range."
            )
        return int(text)

    def seconds(self, name: str) -> float:
        text = self._words.get(name, "0")
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1
        if not 0 <= seconds < float("inf"):
            raise UsageError(f"--{name} is {text!r}, not a number of seconds. Give 0 or more.")
        return seconds

    def one_of(self, name: str, default: str, allowed: Sequence[str]) -> str:
        text = self._words.get(name, default)
        if text not in allowed:
            raise UsageError(f"--{name} is {text!r}. This server takes: {', '.join(allowed)}.")
        return text

    def text(self, name: str, default: str) -> str:
        return self._words.get(name, default)
