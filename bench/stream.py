"""
What a streamed chat completion says, as its bytes come.

Source: server-sent events as OpenAI's API uses them: each event is one ``data:`` line with a JSON
object, ``choices[0].delta`` the piece, and the last event is ``[DONE]``. With
``stream_options.include_usage`` one event before that has no choice and counts the tokens.
"""

import json
from typing import Any


class Heard:
    """
    One answer so far.

    Attributes:
        chunks: when each event with a choice came, as told to `hear`.
        text: what was generated.
        prompt_tokens: as the server counted them, with its chat template; None: not told.
        completion_tokens: the same of what was generated.
    """

    def __init__(self) -> None:
        self.chunks: list[float] = []
        self.text = ""
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._rest = b""
        self._finished = False
        self._done = False
        self._wrong = ""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: a finish reason and ``[DONE]`` came, and no error."""
        return self._finished and self._done and not self._wrong

    @property
    def fault(self) -> str:
        """What is missing or wrong in a stream that has ended; empty where it is whole."""
        if self._wrong or self.whole:
            return self._wrong
        missing = "no finish reason" if not self._finished else "no [DONE]"
        return f"the stream ended after {len(self.chunks)} chunks with {missing}"

    def hear(self, data: bytes, now: float) -> None:
        """Take *data*, of any length, which came at *now*."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b":")
            # Lines without a name are comments, which keep connections alive.
            if name == b"data":
                self._event(value.strip(), now)

    def _event(self, value: bytes, now: float) -> None:
        if value == b"[DONE]":
            self._done = True
            return
        try:
            self._take(json.loads(value), now)
        except (ValueError, TypeError, AttributeError, LookupError):
            self._wrong = f"the stream has an event {value[:200].decode(errors='replace')!r}"

    def _take(self, event: dict[str, Any], now: float) -> None:
        if "error" in event:
            raise ValueError
        usage = event.get("usage")
        if usage is not None:
            self.prompt_tokens = int(usage["prompt_tokens"])
            self.completion_tokens = int(usage["completion_tokens"])
        if event.get("choices"):
            self._choice(event["choices"][0], now)

    def _choice(self, choice: dict[str, Any], now: float) -> None:
        self.chunks.append(now)
        self.text += (choice.get("delta") or {}).get("content") or ""
        self._finished = self._finished or choice.get("finish_reason") is not None
