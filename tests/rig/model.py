"""
Language models without sense, of any size: Llama's layers with random weights, as GGUF.

The emulated CPU needs minutes for a token of the small real model. These have a vocabulary of
bytes; what they answer means nothing, and takes the same steps.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3.
"""

import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_ALIGNMENT: Final = 32
_UINT32, _FLOAT32, _STRING, _ARRAY, _INT32 = 4, 6, 8, 9, 5
_F32, _F16, _Q8_0 = 0, 1, 8
_Q8_0_NUMBERS: Final = 32
"""Of one block: a scale in f16, and so many whole numbers of 8 bits."""
_MOSTLY_F16, _MOSTLY_Q8_0 = 1, 7
"""Of a file: what most of its tensors are."""
_SPREAD: Final = 0.05
_NORMAL, _CONTROL = 1, 3
"""Kinds of tokens: text, and what only a template writes."""

_SPECIAL: Final = ("<|end|>", "<|user|>", "<|assistant|>")
_TEMPLATE: Final = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# A tokenizer must have merges. Pairs of letters, whose tokens follow the bytes'.
_MERGES: Final = (("t", "h"), ("a", "n"))


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What decides a model's size.

    Attributes:
        hidden: length of an embedding, a multiple of 64.
        layers: how many.
        heads: of attention; *hidden* is a multiple.
        quantised: its matrices are Q8_0 instead of f16.
    """

    hidden: int
    layers: int
    heads: int
    quantised: bool = False

    @property
    def inner(self) -> int:
        """The feed-forward layers' width."""
        return 4 * self.hidden

    def kind(self, dimensions: tuple[int, ...]) -> int:
        """Return how a tensor's numbers are written; vectors stay whole."""
        if len(dimensions) == 1:
            return _F32
        return _Q8_0 if self.quantised else _F16

    def bytes_of(self, dimensions: tuple[int, ...]) -> int:
        """Return the length of a tensor."""
        numbers = math.prod(dimensions)
        if self.kind(dimensions) == _Q8_0:
            return numbers // _Q8_0_NUMBERS * (2 + _Q8_0_NUMBERS)
        return numbers * (4 if self.kind(dimensions) == _F32 else 2)


SHAPES: Final = {
    "tiny": Shape(hidden=64, layers=2, heads=2),
    "middle": Shape(hidden=512, layers=16, heads=8),
    "quantised": Shape(hidden=512, layers=16, heads=8, quantised=True),
}
"""By name: one that answers at once, and two of 135 and 71 MB, for where memory is measured."""


def write_gguf(path: Path, shape: Shape) -> None:
    """Write a model of *shape*, the same bytes at each call."""
    tokens = _tokens()
    tensors = tuple(_tensors(shape, len(tokens)))
    with path.open("wb") as file:
        pairs = tuple(_metadata(shape, tokens))
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(pairs)))
        file.write(b"".join(pairs))
        offset = 0
        for name, dimensions in tensors:
            sizes = struct.pack(f"<{len(dimensions)}Q", *dimensions)
            head = _text(name) + struct.pack("<I", len(dimensions)) + sizes
            file.write(head + struct.pack("<IQ", shape.kind(dimensions), offset))
            offset += _padded(shape.bytes_of(dimensions))
        file.write(bytes(-file.tell() % _ALIGNMENT))
        weights = _Weights(shape)
        for _, dimensions in tensors:
            weights.write(file, dimensions)


def _tensors(shape: Shape, tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name each tensor with its dimensions, the one that lies together first."""
    hidden, inner = shape.hidden, shape.inner
    yield "token_embd.weight", (hidden, tokens)
    for layer in range(shape.layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", (hidden,)
        for part in ("q", "k", "v", "output"):
            yield f"{block}.attn_{part}.weight", (hidden, hidden)
        yield f"{block}.ffn_norm.weight", (hidden,)
        yield f"{block}.ffn_gate.weight", (hidden, inner)
        yield f"{block}.ffn_up.weight", (hidden, inner)
        yield f"{block}.ffn_down.weight", (inner, hidden)
    yield "output_norm.weight", (hidden,)


class _Weights:
    """Random numbers, of which some are made and then used again, each time further on."""

    def __init__(self, shape: Shape) -> None:
        chance = random.Random(2026)  # noqa: S311 - weights, not secrets
        count = 1 << 16
        self._shape = shape
        self._start = 0
        if shape.quantised:
            # Whole numbers of 8 bits, each as likely as any other, spread by 128 / √3.
            scale = struct.pack("<e", _SPREAD / (128 / math.sqrt(3)))
            blocks = range(count // _Q8_0_NUMBERS)
            self._pool = b"".join(scale + chance.randbytes(_Q8_0_NUMBERS) for _ in blocks)
            self._step = 2 + _Q8_0_NUMBERS
        else:
            numbers = (chance.gauss(0, _SPREAD) for _ in range(count))
            self._pool = struct.pack(f"<{count}e", *numbers)
            self._step = 2

    def write(self, file: BinaryIO, dimensions: tuple[int, ...]) -> None:
        size = self._shape.bytes_of(dimensions)
        if self._shape.kind(dimensions) == _F32:
            file.write(struct.pack("<f", 1.0) * dimensions[0])
        else:
            # An odd number of steps, so that no two layers are the same.
            self._start = (self._start + self._step * 7919) % len(self._pool)
            pool = self._pool[self._start :] + self._pool[: self._start]
            file.write((pool * (size // len(pool) + 1))[:size])
        file.write(bytes(_padded(size) - size))


def _padded(size: int) -> int:
    return size + -size % _ALIGNMENT


def _tokens() -> tuple[str, ...]:
    """The vocabulary: bytes as GPT-2 writes them, what the merges make, and the special ones."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    characters = {byte: chr(byte) for byte in plain}
    characters |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    merged = ("".join(pair) for pair in _MERGES)
    return (*(characters[byte] for byte in range(256)), *merged, *_SPECIAL)


def _metadata(shape: Shape, tokens: tuple[str, ...]) -> Iterator[bytes]:
    special = {name: tokens.index(name) for name in _SPECIAL}
    yield _pair("general.architecture", _STRING, _text("llama"))
    yield _pair("general.name", _STRING, _text(f"random {shape.hidden}x{shape.layers}"))
    numbers = {
        "general.file_type": _MOSTLY_Q8_0 if shape.quantised else _MOSTLY_F16,
        "llama.block_count": shape.layers,
        "llama.context_length": 2048,
        "llama.embedding_length": shape.hidden,
        "llama.feed_forward_length": shape.inner,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.rope.dimension_count": shape.hidden // shape.heads,
        "llama.vocab_size": len(tokens),
        "tokenizer.ggml.bos_token_id": special["<|end|>"],
        "tokenizer.ggml.eos_token_id": special["<|end|>"],
        "tokenizer.ggml.padding_token_id": special["<|end|>"],
    }
    for key, number in numbers.items():
        yield _pair(key, _UINT32, struct.pack("<I", number))
    for key, value in {
        "llama.rope.freq_base": 10000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }.items():
        yield _pair(key, _FLOAT32, struct.pack("<f", value))
    yield _pair("tokenizer.ggml.model", _STRING, _text("gpt2"))
    yield _pair("tokenizer.ggml.pre", _STRING, _text("smollm"))
    yield _pair("tokenizer.chat_template", _STRING, _text(_TEMPLATE))
    yield _pair("tokenizer.ggml.tokens", _ARRAY, _texts(tokens))
    yield _pair("tokenizer.ggml.merges", _ARRAY, _texts(tuple(map(" ".join, _MERGES))))
    kinds = [_CONTROL if token in _SPECIAL else _NORMAL for token in tokens]
    head = struct.pack("<IQ", _INT32, len(kinds))
    yield _pair("tokenizer.ggml.token_type", _ARRAY, head + struct.pack(f"<{len(kinds)}i", *kinds))


def _pair(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _texts(items: tuple[str, ...]) -> bytes:
    return struct.pack("<IQ", _STRING, len(items)) + b"".join(map(_text, items))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded
