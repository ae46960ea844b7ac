"""A loaded model: it tokenises here, and computes in a process of its own."""

import functools
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

# Only the image has it.
import openvino_genai as genai  # type: ignore[import-not-found]

from .apart import Apart
from .batch import TOKENIZER, fork_on_demand
from .errors import LoadError
from .flags import Scheduling
from .generation import Cancel, Load, Sampling, Step, Tokens

log = logging.getLogger("devserver.engine")


def load(folder: Path, scheduling: Scheduling) -> "Engine":
    """
    Load the OpenVINO IR in *folder* and start the process that computes.

    Raises:
        LoadError: a file is missing or OpenVINO refuses it.
    """
    max_length = _max_length(folder)
    ours, theirs = Pipe()
    control = _forking()
    send_handle(control, theirs.fileno(), None)
    control.send((folder, scheduling, max_length))
    theirs.close()
    try:
        refusal = ours.recv()
    except (EOFError, ConnectionError):
        refusal = f"the process that loads {folder} ended"
    if refusal is not None:
        raise LoadError(refusal)
    tokenizer = genai.Tokenizer(folder, TOKENIZER)
    _convert_once(tokenizer)
    return Engine(tokenizer, max_length, ours)


@functools.cache
def _forking() -> Connection:
    """Return the way to the process that forks those that compute: `fork_on_demand`."""
    ours, theirs = Pipe()
    get_context("fork").Process(target=fork_on_demand, args=(theirs,), daemon=True).start()
    theirs.close()
    return ours


def _convert_once(tokenizer: Any) -> None:
    """
    Let OpenVINO's binding make its tables of element types while one thread alone uses it.

    It makes each at the first conversion, under a lock of C++ that it waits for with Python's own
    lock held: two first requests at once stopped the process for ever.
    """
    _read(tokenizer.encode("1").input_ids)


def _read(tensor: Any) -> Tokens:
    return tuple(int(token) for token in tensor.data[0])


def _max_length(folder: Path) -> int:
    path = folder / "config.json"
    try:
        length = json.loads(path.read_text()).get("max_position_embeddings")
    except (OSError, ValueError) as error:
        raise LoadError(f"{path} cannot be read: {error}. Put the model's config there.") from None
    if not isinstance(length, int):
        raise LoadError(f"{path} has no max_position_embeddings. Add the model's context length.")
    return length


class Engine:
    """A `Generator` of OpenVINO GenAI."""

    def __init__(self, tokenizer: Any, max_length: int, channel: Connection) -> None:
        """
        Take a model that is loaded.

        Args:
            tokenizer: the model's Tokenizer of OpenVINO GenAI.
            max_length: the model's context in tokens.
            channel: to the process that computes.
        """
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._apart = Apart(channel, self._fail)

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
        return _read(self._tokenizer.encode(text, add_special_tokens=special).input_ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text."""
        return str(self._tokenizer.decode(list(tokens)))

    def start(self, prompt: Tokens, sampling: Sampling, sink: Callable[[Step], None]) -> Cancel:
        """Hand the request to the process that computes."""
        return self._apart.start(prompt, sampling, sink)

    def load(self) -> Load:
        """Say what the process that computes last said."""
        return self._apart.load()

    def close(self) -> None:
        """End the process that computes after its current step."""
        self._apart.close()

    def _fail(self) -> None:
        # OVMS ends the process when its engine step throws; the restart policy takes over.
        log.error("the engine ended; every request is lost")
        logging.shutdown()
        os._exit(1)
