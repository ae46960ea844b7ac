"""
What clients send: the OpenAI bodies that OpenVINO Model Server takes, checked by its rules.

Source: model_server's ``src/llm/apis/openai_api_handler.cpp`` and ``openai_completions.cpp``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .errors import RequestError
from .generation import Sampling

_MAX_STOPS: Final = 16
_UINT32: Final = 2**32 - 1

Messages = tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    What is needed to find the model; the rest is the model's business.

    Attributes:
        model: the name that the client wants.
        stream: answer with server-sent events.
        body: the whole JSON object.
    """

    model: str
    stream: bool
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """
    A checked request.

    Attributes:
        messages: of a chat, or None with *prompt*.
        prompt: of a plain completion, or None with *messages*.
        include_usage: end the stream with a chunk of token counts.
        sampling: how tokens are chosen.
    """

    messages: Messages | None
    prompt: str | None
    include_usage: bool
    sampling: Sampling


def parse_envelope(raw: bytes) -> Envelope:
    """
    Read the JSON *raw*.

    Raises:
        RequestError: 412 for what is not JSON, has no ``model`` or a ``stream`` that is no boolean.
    """
    try:
        body = json.loads(raw)
    except ValueError:
        raise RequestError(412, "Cannot parse JSON body") from None
    if not isinstance(body, dict):
        raise RequestError(412, "JSON body must be an object")
    model, stream = body.get("model"), body.get("stream")
    if not isinstance(model, str):
        raise RequestError(412, "model field is missing in JSON body, or is not a string")
    if stream is not None and not isinstance(stream, bool):
        raise RequestError(412, "stream field is not a boolean")
    return Envelope(model, bool(stream), body)


def parse_question(envelope: Envelope, *, chat: bool) -> Question:
    """
    Check the rest of a request.

    Args:
        envelope: what `parse_envelope` returned.
        chat: it came to ``chat/completions``, else to ``completions``.

    Raises:
        RequestError: 400 with what is wrong.
    """
    fields = _Fields(envelope.body)
    return Question(
        messages=_messages(envelope.body) if chat else None,
        prompt=None if chat else _prompt(envelope.body),
        include_usage=_include_usage(envelope),
        sampling=Sampling(
            max_new_tokens=_max_tokens(fields, chat=chat),
            temperature=fields.number("temperature", 0, 2),
            top_p=fields.number("top_p", 0, 1),
            top_k=_top_k(fields),
            seed=fields.whole("seed", 0, _UINT32),
            repetition_penalty=fields.number("repetition_penalty", 0, 1000),
            presence_penalty=fields.number("presence_penalty", -2, 2),
            frequency_penalty=fields.number("frequency_penalty", -2, 2),
            stop=_stop(envelope.body.get("stop")),
            include_stop=_include_stop(fields, stream=envelope.stream),
            ignore_eos=bool(fields.flag("ignore_eos")),
        ),
    )


class _Fields:
    """Reads single fields; null is as good as absent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        count = self.whole("n", 1, _UINT32)
        if count is not None and count > 1:
            raise RequestError(
                400, "n value cannot be greater than 1: this server makes one answer"
            )

    def number(self, name: str, lowest: float, highest: float) -> float | None:
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RequestError(400, f"{name} is not a valid number")
        if not lowest <= value <= highest:
            raise RequestError(400, f"{name} out of range({lowest:.1f}, {highest:.1f})")
        return float(value)

    def whole(self, name: str, lowest: int, highest: int) -> int | None:
        value = self._body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(400, f"{name} is not an integer")
        if not lowest <= value <= highest:
            raise RequestError(400, f"{name} out of range [{lowest}, {highest}]")
        return value

    def flag(self, name: str) -> bool | None:
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            raise RequestError(400, f"{name} accepts values true or false")
        return value


def _max_tokens(fields: _Fields, *, chat: bool) -> int | None:
    newer = fields.whole("max_completion_tokens", 1, _UINT32) if chat else None
    older = fields.whole("max_tokens", 1, _UINT32)
    return older if newer is None else newer


def _top_k(fields: _Fields) -> int | None:
    value = fields.whole("top_k", -1, 2**31 - 1)
    if value == 0:
        raise RequestError(400, "top_k must be -1 (all tokens) or a positive integer")
    return value


def _include_stop(fields: _Fields, *, stream: bool) -> bool:
    """Keep the stop string in a stream, as OVMS does: its start may have been sent already."""
    value = fields.flag("include_stop_str_in_output")
    if stream and value is False:
        raise RequestError(
            400, "include_stop_str_in_output cannot be set to false if streaming is used"
        )
    return stream if value is None else value


def _include_usage(envelope: Envelope) -> bool:
    options = envelope.body.get("stream_options")
    if options is None:
        return False
    if not envelope.stream:
        raise RequestError(400, "stream_options provided, but stream not set to true")
    if not isinstance(options, dict):
        raise RequestError(400, "stream_options is not an object")
    if options.keys() - {"include_usage"}:
        raise RequestError(
            400,
            "Found unexpected stream options. Properties accepted in stream_options: include_usage",
        )
    return bool(_Fields(options).flag("include_usage"))


def _stop(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise RequestError(400, "stop is not a string or array of strings")
    if len(value) > _MAX_STOPS:
        raise RequestError(400, f"stop array must have no more than {_MAX_STOPS} strings")
    if not all(isinstance(item, str) for item in value):
        raise RequestError(400, "stop array contains non string element")
    return tuple(value)


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if prompt is not None and not isinstance(prompt, str):
        raise RequestError(400, "prompt is not a string")
    if not prompt:
        raise RequestError(400, "prompt is missing")
    return prompt


def _messages(body: Mapping[str, Any]) -> Messages:
    messages = body.get("messages")
    if messages is None:
        raise RequestError(400, "Messages missing in request")
    if not isinstance(messages, list):
        raise RequestError(400, "Messages are not an array")
    if not messages:
        raise RequestError(400, "Messages array cannot be empty")
    return tuple(_message(message) for message in messages)


def _message(message: object) -> Mapping[str, str]:
    if not isinstance(message, dict):
        raise RequestError(400, "Message is not a JSON object")
    role = message.get("role")
    if not isinstance(role, str):
        raise RequestError(400, "Invalid message structure - role missing")
    return {"role": role, "content": _content(message.get("content"))}


def _content(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise RequestError(400, "Invalid message structure - content is neither text nor parts")
    texts = [part.get("text") if isinstance(part, dict) else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise RequestError(400, "Invalid message structure - content text missing")
    return "".join(str(text) for text in texts)
