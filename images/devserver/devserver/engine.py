"""OpenVINO GenAI's continuous batching: one scheduler and one thread for each model."""

import itertools
import json
import logging
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Only the image has these.
import numpy as np  # type: ignore[import-not-found]
import openvino  # type: ignore[import-not-found]
import openvino_genai as genai  # type: ignore[import-not-found]

from .errors import LoadError
from .flags import Scheduling
from .generation import Cancel, FinishReason, Load, Sampling, Step, Tokens

log = logging.getLogger("devserver.engine")

_FINISH: Mapping[Any, FinishReason] = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}
_ALL = 2**64 - 1
_TOP_K = 40
"""OVMS's default where it samples and neither the request nor the model names one."""


def load(folder: Path, scheduling: Scheduling) -> "BatchingGenerator":
    """
    Load the OpenVINO IR in *folder* and start its scheduler.

    Raises:
        LoadError: a file is missing or OpenVINO refuses it.
    """
    try:
        pipeline = genai.ContinuousBatchingPipeline(
            folder, _scheduler(scheduling), "CPU", _properties(scheduling), _TOKENIZER
        )
    except RuntimeError as error:
        raise LoadError(f"{folder} was not loaded: {reason(error)}. Look at its files.") from None
    _convert_once(pipeline.get_tokenizer())
    max_prompt = None if scheduling.dynamic_split_fuse else scheduling.max_num_batched_tokens
    return BatchingGenerator(pipeline, _max_length(folder), max_prompt)


def _convert_once(tokenizer: Any) -> None:
    """
    Let OpenVINO's binding make its tables of element types while one thread alone uses it.

    It makes each at the first conversion, under a lock of C++ that it waits for with Python's own
    lock held: two first requests at once stopped the process for ever.
    """
    _read(_tensor(_read(tokenizer.encode("1").input_ids)))


def _tensor(tokens: Tokens) -> Any:
    return openvino.Tensor(np.array([tokens], dtype=np.int64))


def _read(tensor: Any) -> Tokens:
    return tuple(int(token) for token in tensor.data[0])


# Tokenising is short; a second set of as many threads as CPUs would only get into its own way.
_TOKENIZER: Mapping[str, Any] = {"INFERENCE_NUM_THREADS": 1}


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


def reason(error: RuntimeError) -> str:
    """Take from OpenVINO's several lines what was wrong, without where in its sources it was."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("Exception from "))


def _max_length(folder: Path) -> int:
    path = folder / "config.json"
    try:
        length = json.loads(path.read_text()).get("max_position_embeddings")
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be read: {error}. Put the model's config there.") from None
    if not isinstance(length, int):
        raise LoadError(f"{path} has no max_position_embeddings. Add the model's context length.")
    return length


class _Request:
    """One request on the engine's side; only the engine's thread touches the handle."""

    def __init__(self, prompt: Tokens, config: Any, sink: Callable[[Step], None]) -> None:
        self.prompt = prompt
        self.config = config
        self.sink = sink
        self.cancelled = threading.Event()
        self.handle: Any = None


class BatchingGenerator:
    """A `Generator` on one ContinuousBatchingPipeline, stepped by one thread."""

    def __init__(self, pipeline: Any, max_length: int, max_prompt: int | None) -> None:
        """
        Start the engine's thread on *pipeline*.

        Args:
            pipeline: a loaded ContinuousBatchingPipeline, stepped by nobody else.
            max_length: the model's context in tokens.
            max_prompt: the longest prompt that one step takes, or None where steps share one.
        """
        self._max_prompt = max_prompt
        self._pipeline = pipeline
        self._tokenizer = pipeline.get_tokenizer()
        self._max_length = max_length
        self._ids = itertools.count()
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._active: list[_Request] = []
        self._inside = 0
        self._peak = 0
        self._made = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def max_length(self) -> int:
        """The model's context in tokens."""
        return self._max_length

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Tokens:
        """Apply the model's chat template, which brings its own special tokens."""
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages], add_generation_prompt=True
            )
        except RuntimeError as error:
            raise ValueError(f"the chat template refused the messages: {error}") from None
        return self._encode(text, special=False)

    def encode_text(self, text: str) -> Tokens:
        """Tokenise a plain prompt, with the special tokens that the tokenizer adds."""
        return self._encode(text, special=True)

    def _encode(self, text: str, *, special: bool) -> Tokens:
        encoded = self._tokenizer.encode(text, add_special_tokens=special)
        return _read(encoded.input_ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text."""
        return str(self._tokenizer.decode(list(tokens)))

    def start(self, prompt: Tokens, sampling: Sampling, sink: Callable[[Step], None]) -> Cancel:
        """Hand the request to the engine's thread."""
        if self._max_prompt is not None and len(prompt) > self._max_prompt:
            raise ValueError(
                f"the prompt has {len(prompt)} tokens, and without dynamic_split_fuse a step takes "
                f"max_num_batched_tokens, {self._max_prompt}"
            )
        request = _Request(prompt, self._config(sampling), sink)
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()
        return request.cancelled.set

    def load(self) -> Load:
        """Say what the pipeline has, not what is wanted of it: a cancelled request may linger."""
        return Load(running=self._inside + len(self._waiting), peak=self._peak, tokens=self._made)

    def close(self) -> None:
        """Stop the engine's thread after its current step."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

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

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._admit()
                self._step()
        except Exception:
            # OVMS ends the process when its engine step throws; the restart policy takes over.
            log.exception("the engine failed; every request is lost")
            logging.shutdown()
            os._exit(1)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._inside)
            return not self._closing

    def _admit(self) -> None:
        with self._changed:
            arrived, self._waiting = self._waiting, []
            arrived = [request for request in arrived if not request.cancelled.is_set()]
            self._active.extend(arrived)
        for request in arrived:
            request.handle = self._pipeline.add_request(
                next(self._ids), _tensor(request.prompt), request.config
            )

    def _step(self) -> None:
        for request in self._active:
            if request.cancelled.is_set():
                request.handle.cancel()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
            self._peak = max(self._peak, self._pipeline.get_metrics().scheduled_requests)
        self._active = [request for request in self._active if not self._deliver(request)]
        left = self._pipeline.has_non_finished_requests()
        self._inside = self._pipeline.get_metrics().requests if left else 0

    def _deliver(self, request: _Request) -> bool:
        """Pass on what the last step brought *request*; say whether that was all."""
        tokens: list[int] = []
        finish: FinishReason | None = None
        while request.handle.can_read():
            for output in request.handle.read().values():
                tokens.extend(output.generated_ids)
                finish = _FINISH.get(output.finish_reason, finish)
        self._made += len(tokens)
        if request.cancelled.is_set():
            return True
        status = request.handle.get_status()
        if status == genai.GenerationStatus.IGNORED:
            request.sink(Step(tuple(tokens), error="the KV cache cannot hold this request"))
            return True
        if status == genai.GenerationStatus.FINISHED and finish is None:
            finish = "length"
        if tokens or finish:
            request.sink(Step(tuple(tokens), finish))
        return finish is not None
