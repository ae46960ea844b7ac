"""OpenVINO GenAI's continuous batching of one model, in a process of its own (`apart`)."""

import os
import random
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

# Only the image has these.
import numpy as np  # type: ignore[import-not-found]
import openvino  # type: ignore[import-not-found]
import openvino_genai as genai  # type: ignore[import-not-found]

from .apart import Steps, compute
from .errors import LoadError
from .flags import Scheduling
from .generation import FinishReason, Load, Sampling, Step, Tokens

_FINISH: Mapping[Any, FinishReason] = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}
# Tokenising is short; a second set of as many threads as CPUs would only get into its own way.
TOKENIZER: Mapping[str, Any] = {"INFERENCE_NUM_THREADS": 1}

_ALL = 2**64 - 1
_TOP_K = 40
"""OVMS's default where it samples and neither the request nor the model names one."""


def fork_on_demand(control: Connection) -> None:
    """
    Fork a process that computes for each channel and model that come over *control*.

    OpenVINO takes seconds to import, and may not be in use where a process is forked: it has
    threads then. So this process has imported it, does nothing with it, and is forked instead of
    the one that serves. It ends when that one is gone.
    """
    # Who serves is told to stop, and closes the channels then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # The sockets that the server listens on are to refuse as soon as it ends.
    os.closerange(3, control.fileno())
    os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    while True:
        try:
            channel = Connection(recv_handle(control))
            model = control.recv()
        except EOFError:
            return
        if os.fork() == 0:
            control.close()
            _run(channel, *model)
            return
        channel.close()


def _run(channel: Connection, folder: Path, scheduling: Scheduling, max_length: int) -> None:
    """Load the model, say over *channel* whether that went well, and compute."""
    max_prompt = None if scheduling.dynamic_split_fuse else scheduling.max_num_batched_tokens
    try:
        batch = PipelineBatch(_load(folder, scheduling), max_length, max_prompt)
    except LoadError as error:
        channel.send(str(error))
        return
    channel.send(None)
    compute(channel, batch)


def _load(folder: Path, scheduling: Scheduling) -> Any:
    try:
        return genai.ContinuousBatchingPipeline(
            folder, _scheduler(scheduling), "CPU", _properties(scheduling), TOKENIZER
        )
    except RuntimeError as error:
        raise LoadError(f"{folder} was not loaded: {_reason(error)}. Look at its files.") from None


def _scheduler(scheduling: Scheduling) -> Any:
    config = genai.SchedulerConfig()
    config.cache_size = scheduling.cache_size
    config.max_num_seqs = scheduling.max_num_seqs
    config.max_num_batched_tokens = scheduling.max_num_batched_tokens
    config.enable_prefix_caching = scheduling.enable_prefix_caching
    config.dynamic_split_fuse = scheduling.dynamic_split_fuse
    return config


def _properties(scheduling: Scheduling) -> dict[str, Any]:
    """Use a thread for each CPU that is allowed here, pinned, as OVMS does in a container."""
    cpus = len(os.sched_getaffinity(0))
    defaults = {"INFERENCE_NUM_THREADS": cpus, "ENABLE_CPU_PINNING": True}
    return {**defaults, **scheduling.plugin_config}


def _reason(error: RuntimeError) -> str:
    """Take from OpenVINO's several lines what was wrong, without where in its sources it was."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Exception from "))


class PipelineBatch:
    """A `Batch` in one ContinuousBatchingPipeline."""

    def __init__(self, pipeline: Any, max_length: int, max_prompt: int | None) -> None:
        """
        Begin with no request.

        Args:
            pipeline: a loaded ContinuousBatchingPipeline that nobody else uses.
            max_length: the model's context in tokens.
            max_prompt: the longest prompt that one step takes, or None where steps share one.
        """
        self._pipeline = pipeline
        self._max_length = max_length
        self._max_prompt = max_prompt
        self._handles: dict[int, Any] = {}
        self._peak = 0
        self._made = 0

    def add(self, number: int, prompt: Tokens, sampling: Sampling) -> None:
        """Add the request to the pipeline."""
        if self._max_prompt is not None and len(prompt) > self._max_prompt:
            raise ValueError(
                f"the prompt has {len(prompt)} tokens, and without dynamic_split_fuse a step takes "
                f"max_num_batched_tokens, {self._max_prompt}"
            )
        tokens = openvino.Tensor(np.array([prompt], dtype=np.int64))
        self._handles[number] = self._pipeline.add_request(number, tokens, self._config(sampling))

    def cancel(self, number: int) -> None:
        """Cancel it; the pipeline drops it in its next step."""
        if handle := self._handles.pop(number, None):
            handle.cancel()

    def step(self) -> Steps:
        """Step the pipeline."""
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            self._peak = max(self._peak, self._pipeline.get_metrics().scheduled_requests)
        brought = [(number, self._read(handle)) for number, handle in self._handles.items()]
        steps = [(number, step) for number, step in brought if step]
        for number, step in steps:
            self._made += len(step.tokens)
            if step.finish or step.error:
                del self._handles[number]
        return steps

    def load(self) -> Load:
        """Say what the pipeline has, not what is wanted of it: a cancelled request may linger."""
        left = self._pipeline.has_non_finished_requests()
        running = self._pipeline.get_metrics().requests if left else 0
        return Load(running=running, peak=self._peak, tokens=self._made)

    def _read(self, handle: Any) -> Step | None:
        """Return what the last step brought a request; None: nothing."""
        tokens: list[int] = []
        finish: FinishReason | None = None
        while handle.can_read():
            for output in handle.read().values():
                tokens.extend(output.generated_ids)
                finish = _FINISH.get(output.finish_reason, finish)
        status = handle.get_status()
        if status == genai.GenerationStatus.IGNORED:
            return Step(tuple(tokens), error="the KV cache cannot hold this request")
        if status == genai.GenerationStatus.FINISHED and finish is None:
            finish = "length"
        return Step(tuple(tokens), finish) if tokens or finish else None

    def _config(self, sampling: Sampling) -> Any:
        """Lay *sampling* over the model's own defaults, by OVMS's rules."""
        config = self._pipeline.get_config()  # a copy each time
        temperature = sampling.temperature
        if temperature is None:
            temperature = config.temperature
        wanted = {
            "max_new_tokens": sampling.max_new_tokens,
            "max_length": self._max_length,
            "temperature": temperature,
            "top_p": sampling.top_p,
            "repetition_penalty": sampling.repetition_penalty,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "stop_strings": set(sampling.stop) or None,
            "include_stop_str_in_output": sampling.include_stop,
            "ignore_eos": sampling.ignore_eos,
            "do_sample": temperature > 0,
            "apply_chat_template": False,
        }
        for name, value in wanted.items():
            if value is not None:
                setattr(config, name, value)
        if config.do_sample:
            seed = sampling.seed
            config.rng_seed = random.randrange(1, 2**32) if seed is None else seed  # noqa: S311
            top_k = sampling.top_k
            config.top_k = _ALL if top_k == -1 else top_k or min(config.top_k, _TOP_K)
        try:
            config.validate()
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        return config
