"""Turn tokens into text piece by piece, so that the pieces joined are the text of them all."""

import itertools
from collections.abc import Callable, Sequence

_KEPT = 8
_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """
    Gives out text as soon as it cannot change any more.

    A token may end inside a UTF-8 character, and a token's text may depend on the one before
    (a leading space). So a few known tokens are decoded again together with the new ones, and
    text that ends in a broken character waits for the tokens that complete it.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        """Start with no tokens; *decode* turns any run of tokens into text."""
        self._decode = decode
        self._tokens: list[int] = []
        self._given = ""

    def add(self, tokens: Sequence[int]) -> str:
        """Take the next tokens and return the text that is certain now."""
        self._tokens.extend(tokens)
        text = self._decode(self._tokens)
        if not text.startswith(self._given) or text.endswith(_BROKEN):
            return ""
        piece = text[len(self._given) :]
        self._forget(text)
        return piece

    def finish(self) -> str:
        """Return what is left, broken characters and all."""
        text = self._decode(self._tokens) if self._tokens else ""
        if text.startswith(self._given):
            return text[len(self._given) :]
        same = (old == new for old, new in zip(self._given, text, strict=False))
        return text[sum(itertools.takewhile(bool, same)) :]

    def _forget(self, text: str) -> None:
        """Keep only the latest tokens, so that each step costs the same however long the text."""
        self._given = text
        if len(self._tokens) <= 2 * _KEPT:
            return
        tail = self._tokens[-_KEPT:]
        shown = self._decode(tail)
        if shown and text.endswith(shown) and not shown.startswith(_BROKEN):
            self._tokens = tail
            self._given = shown
