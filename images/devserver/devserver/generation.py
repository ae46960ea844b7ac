"""What the HTTP side asks of an engine: the one seam between them, so that each is tested alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """
    How tokens are chosen; None leaves the model's generation_config.json, then the engine, to say.

    Attributes:
        max_new_tokens: how many at most; None up to the model's context.
        temperature: 0 is greedy, above it samples; unitless.
        top_p: keep the likeliest tokens with this share of probability.
        top_k: keep this many of the likeliest tokens; -1 keeps all.
        seed: of the random choice; None takes another one each time.
        repetition_penalty: above 1 discourages tokens that are there already.
        presence_penalty: as OpenAI's.
        frequency_penalty: as OpenAI's.
        stop: strings that end the text.
        include_stop: keep the stop string in the text.
        ignore_eos: go on after the model's end token.
    """

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    include_stop: bool = False
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """
    What one engine step brought a request.

    Attributes:
        tokens: the new tokens, in order; may be none.
        finish: why this is the last step, or None when it is not.
        error: why there is no more, or None. A request that the engine refuses has one.
    """

    tokens: Tokens
    finish: FinishReason | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """
    What an engine is doing and has done, in its own count.

    Attributes:
        running: requests in it now, the ones waiting for its next step included.
        peak: the most requests that one step has had.
        tokens: how many tokens it has made.
    """

    running: int
    peak: int
    tokens: int


class Cancel(Protocol):
    """Ends a generation within an engine step or two; may be called more than once."""

    def __call__(self) -> None:
        """Cancel."""


class Generator(Protocol):
    """A loaded model; every method may be called from any thread."""

    @property
    def max_length(self) -> int:
        """The most tokens of prompt and answer together."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Tokens:
        """
        Apply the chat template and tokenise.

        Raises:
            ValueError: the template refuses these messages.
        """

    def encode_text(self, text: str) -> Tokens:
        """Tokenise *text* as it is."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Turn tokens into text, special tokens left out."""

    def start(self, prompt: Tokens, sampling: Sampling, sink: Callable[[Step], None]) -> Cancel:
        """
        Add a request to the batch.

        Args:
            prompt: at least one token.
            sampling: how to choose.
            sink: is called from a thread of the engine's, last with a finish or an error; an
                error too where it refuses *prompt* or *sampling*. A cancelled request may get no
                further call.
        """

    def load(self) -> Load:
        """Say what the engine is doing and has done."""

    def close(self) -> None:
        """Stop after the current step; what is being generated is lost."""
