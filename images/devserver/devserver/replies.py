"""
What clients get: the JSON of OpenVINO Model Server's answers.

Source: model_server's ``docs/model_server_rest_api_chat.md`` and ``…_completions.md``.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from .generation import FinishReason


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Token counts of one request.

    Attributes:
        prompt: tokens of the prompt, the chat template's included.
        completion: tokens that were generated, the end token included.
    """

    prompt: int
    completion: int

    def as_json(self) -> dict[str, int]:
        """Spell it as OpenAI does."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """
    Writes the answer to one request.

    Attributes:
        model: the name that the client asked for.
        chat: it is a chat; else a plain completion.
        created: seconds since the epoch.
    """

    model: str
    chat: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def unary(self, text: str, finish: FinishReason, usage: Usage) -> bytes:
        """Write the whole answer at once."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "tool_calls": []}
        else:
            choice["text"] = text
        kind = "chat.completion" if self.chat else "text_completion"
        return _encode(self._body(kind, [choice]) | {"usage": usage.as_json()})

    def first(self) -> bytes:
        """Mark the first token of a chat's stream; a plain completion has no such chunk."""
        if not self.chat:
            return b""
        return self._event(self._choice({"role": "assistant", "content": None}, None))

    def piece(self, text: str, finish: FinishReason | None) -> bytes:
        """Write one piece of a stream."""
        if self.chat:
            return self._event(self._choice({"content": text}, finish))
        choice = {"index": 0, "logprobs": None, "finish_reason": finish, "text": text}
        return self._event(choice)

    def last(self, usage: Usage | None) -> bytes:
        """End a stream, with the token counts if they were asked for."""
        kind = "chat.completion.chunk" if self.chat else "text_completion.chunk"
        counts = _sse(self._body(kind, []) | {"usage": usage.as_json()}) if usage else b""
        return counts + b"data: [DONE]\n\n"

    def _choice(self, delta: dict[str, Any], finish: FinishReason | None) -> dict[str, Any]:
        return {"index": 0, "logprobs": None, "finish_reason": finish, "delta": delta}

    def _event(self, choice: dict[str, Any]) -> bytes:
        kind = "chat.completion.chunk" if self.chat else "text_completion.chunk"
        return _sse(self._body(kind, [choice]))

    def _body(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"choices": choices, "created": self.created, "model": self.model, "object": kind}


def _sse(body: dict[str, Any]) -> bytes:
    return b"data: " + _encode(body) + b"\n\n"


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
