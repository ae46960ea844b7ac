"""
Prompts out of conversations in ShareGPT's format: a JSON list, each with its ``conversations``.

The filters are those of vLLM's ``benchmark_serving``. It counts with the model's tokenizer; here
tokens are estimated, so that near the bounds other conversations may pass.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

LEAST_TOKENS = 4
"""Shorter prompts and replies are passed over."""

MOST_PROMPT_TOKENS = 1024
MOST_TOKENS = 2048
"""Longer prompts, and prompts that are longer with their reply, are passed over."""

_BYTES_A_TOKEN = 4
_ASKING = frozenset({"human", "user"})


class DatasetError(Exception):
    """A file is no dataset; says what was seen and what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """
    One request's content.

    Attributes:
        text: what the user says.
        tokens: of the text, about; the server's own count replaces it.
        max_tokens: the most that may be generated.
    """

    text: str
    tokens: int
    max_tokens: int


def estimated_tokens(text: str) -> int:
    """
    Return about how many tokens *text* is, without a tokenizer: a quarter of its UTF-8 bytes.

    English prose has 4 to 4.5 bytes a token in the vocabularies of Llama 3 and Qwen, code fewer.
    """
    return -(-len(text.encode(errors="replace")) // _BYTES_A_TOKEN)


def read_sharegpt(path: Path) -> tuple[Prompt, ...]:
    """
    Read the conversations of *path* that pass the filters, in the file's order.

    The prompt is the first turn of a human, and the turn after it is the reply, whose length is
    the most that may be generated. (vLLM takes the first two turns, whoever speaks.)

    Raises:
        DatasetError: the file cannot be read, is no such list, or has no conversation that passes.
    """
    try:
        conversations = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read: {error.strerror}. Give a file of ShareGPT's format to "
            "--dataset-path, or leave it out for made-up prompts."
        ) from None
    except ValueError as error:
        raise DatasetError(f"{path} is no JSON: {error}. Download it again.") from None
    if not isinstance(conversations, list):
        raise DatasetError(
            f"{path} holds a JSON {type(conversations).__name__}, but ShareGPT's format is a list "
            "of conversations. Give the file of the dataset itself."
        )
    prompts = tuple(_passing(conversations))
    if not prompts:
        raise DatasetError(
            f"None of the {len(conversations)} entries of {path} has a human's turn and a reply of "
            f"{LEAST_TOKENS} tokens or more, the prompt of {MOST_PROMPT_TOKENS} or fewer and "
            f"{MOST_TOKENS} or fewer together. Give a dataset in ShareGPT's format."
        )
    return prompts


def sample(prompts: Sequence[Prompt], count: int, seed: int) -> tuple[Prompt, ...]:
    """
    Return *count* of the *prompts* in a random order; the same seed gives the same.

    Where there are fewer, all are taken again, each time in another order.
    """
    draw = random.Random(f"dataset {seed}")  # noqa: S311 (to be repeated, not to be secret)
    taken: list[Prompt] = []
    while len(taken) < count:
        taken += draw.sample(prompts, len(prompts))
    return tuple(taken[:count])


def _passing(conversations: Sequence[Any]) -> Iterator[Prompt]:
    for conversation in conversations:
        said = _first_exchange(conversation)
        if said is None:
            continue
        text, reply = said
        tokens, answer = estimated_tokens(text), estimated_tokens(reply)
        if min(tokens, answer) < LEAST_TOKENS:
            continue
        if tokens <= MOST_PROMPT_TOKENS and tokens + answer <= MOST_TOKENS:
            yield Prompt(text=text, tokens=tokens, max_tokens=answer)


def _first_exchange(conversation: object) -> tuple[str, str] | None:
    """Return the first human turn and the turn after it; None where these are not there."""
    turns = conversation.get("conversations") if isinstance(conversation, dict) else None
    said = [turn for turn in turns or () if isinstance(turn, dict)]
    for turn, reply in pairwise(said):
        if turn.get("from") in _ASKING:
            text, answer = turn.get("value"), reply.get("value")
            return (text, answer) if isinstance(text, str) and isinstance(answer, str) else None
    return None
