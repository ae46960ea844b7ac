"""
Made-up prompts, where no dataset is at hand: common words in a random order.

Each word is one token, with the space before it, in vocabularies made from English text; what the
server counts also has its chat template. The words are drawn for each prompt anew, so that a cache
of prefixes gains nothing but that template.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.dataset import LEAST_TOKENS, MOST_PROMPT_TOKENS, MOST_TOKENS, Prompt

DEMO_MEAN_INPUT = 443_650 / 2000
DEMO_MEAN_OUTPUT = 367_462 / 2000
"""
Mean tokens of a request, in and out, of OVMS's scaling demo.

Source: the result of 2,000 ShareGPT prompts at rate inf with seed 10 that model_server's
``demos/continuous_batching/scaling/README.md`` shows until 2025: 443650 input tokens and 367462
generated ones.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """
    A log-normal distribution of lengths, of which only what lies within bounds is drawn.

    Attributes:
        location: mean of the logarithm.
        scale: standard deviation of the logarithm.
        least: shortest, in tokens.
        most: longest, in tokens.
    """

    location: float
    scale: float
    least: int
    most: int

    def draw(self, source: random.Random) -> int:
        """Draw one length, in tokens."""
        while True:
            length = source.lognormvariate(self.location, self.scale)
            if self.least <= length <= self.most:
                return round(length)


# The demo tells the means alone. That lengths are log-normal, and how widely they are scattered, is
# assumed: chats are mostly short, with a long tail. The locations then give the demo's means.
_INPUTS = Lengths(location=5.0854, scale=1.5, least=LEAST_TOKENS, most=MOST_PROMPT_TOKENS)
_OUTPUTS = Lengths(
    location=4.8435, scale=1.0, least=LEAST_TOKENS, most=MOST_TOKENS - MOST_PROMPT_TOKENS
)


def demo_prompts(count: int, seed: int) -> tuple[Prompt, ...]:
    """Make *count* prompts whose lengths have the means of the demo's run."""
    lengths = random.Random(f"lengths {seed}")  # noqa: S311 (to be repeated, not to be secret)
    return tuple(
        _prompt(words, _INPUTS.draw(lengths), _OUTPUTS.draw(lengths))
        for words in _sources(count, seed)
    )


def random_prompts(count: int, seed: int, *, inputs: int, outputs: int) -> tuple[Prompt, ...]:
    """Make *count* prompts of *inputs* words each, for *outputs* tokens each."""
    return tuple(_prompt(words, inputs, outputs) for words in _sources(count, seed))


def _sources(count: int, seed: int) -> Iterator[random.Random]:
    for number in range(count):
        yield random.Random(f"words {seed} {number}")  # noqa: S311 (to be repeated)


def _prompt(source: random.Random, inputs: int, outputs: int) -> Prompt:
    return Prompt(
        text=" ".join(source.choices(_WORDS, k=inputs)), tokens=inputs, max_tokens=outputs
    )


_WORDS = tuple(Path(__file__).with_name("words.txt").read_text().split())
