"""What a request may say, and the status of what it may not."""

import json
from typing import Any

import pytest

from images.devserver.devserver.errors import RequestError
from images.devserver.devserver.requests import parse_envelope, parse_question

USER = [{"role": "user", "content": "Hi"}]


def _status(body: Any, *, chat: bool = True) -> int:
    """The status that *body* is refused with; 200 when it is taken."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        parse_question(parse_envelope(raw), chat=chat)
    except RequestError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"messages": []}', b'{"model": 1}', b'{"model": "m", "stream": "yes"}'],
)
def test_what_names_no_model_is_412(body: bytes) -> None:
    assert _status(body) == 412


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": 0}, {"temperature": 2}, {"temperature": 0.7}, {"top_p": 0.5},
        {"top_p": 1}, {"max_tokens": 1}, {"max_completion_tokens": 5}, {"seed": 0},
        {"seed": 2**32 - 1}, {"stop": "x"}, {"stop": ["a", "b"]}, {"ignore_eos": True},
        {"n": 1}, {"top_k": -1}, {"top_k": 3}, {"temperature": None, "stop": None},
        {"stream": True, "stream_options": {"include_usage": True}}, {"user": "someone"},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_ovms_takes_is_taken(field: dict[str, Any]) -> None:
    assert _status({"model": "m", "messages": USER, **field}) == 200


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": -0.1}, {"temperature": 2.1}, {"temperature": "hot"}, {"temperature": True},
        {"top_p": 1.1}, {"top_p": -1}, {"max_tokens": 0}, {"max_tokens": -1}, {"max_tokens": 1.5},
        {"max_completion_tokens": 0}, {"seed": -1}, {"seed": 2**32}, {"seed": 0.5}, {"stop": 1},
        {"stop": [1]}, {"stop": ["x"] * 17}, {"ignore_eos": "no"}, {"n": 0}, {"n": 2},
        {"top_k": 0}, {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": {"other": 1}}, {"stream": True, "stream_options": []},
        {"stream": True, "include_stop_str_in_output": False}, {"messages": []},
        {"messages": "Hi"}, {"messages": [1]}, {"messages": [{"content": "x"}]},
        {"messages": [{"role": "user"}]}, {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"presence_penalty": 3}, {"frequency_penalty": -3},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_ovms_refuses_is_400(field: dict[str, Any]) -> None:
    assert _status({"model": "m", "messages": USER, **field}) == 400


@pytest.mark.parametrize(
    ("prompt", "status"), [("Hi", 200), ("", 400), (None, 400), (["Hi"], 400)], ids=repr
)
def test_a_plain_completion_needs_a_prompt(prompt: object, status: int) -> None:
    assert _status({"model": "m", "prompt": prompt}, chat=False) == status


def test_content_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}

    question = parse_question(parse_envelope(json.dumps(body).encode()), chat=True)

    assert question.messages == ({"role": "user", "content": "ab"},)


@pytest.mark.parametrize(("stream", "kept"), [(True, True), (False, False)])
def test_only_a_stream_keeps_the_stop_string(*, stream: bool, kept: bool) -> None:
    """Its start may have been sent before it is known to be one."""
    body = {"model": "m", "messages": USER, "stop": "x", "stream": stream}

    question = parse_question(parse_envelope(json.dumps(body).encode()), chat=True)

    assert question.sampling.include_stop is kept


def test_the_newer_name_of_the_token_limit_wins() -> None:
    body = {"model": "m", "messages": USER, "max_tokens": 5, "max_completion_tokens": 7}

    question = parse_question(parse_envelope(json.dumps(body).encode()), chat=True)

    assert question.sampling.max_new_tokens == 7
