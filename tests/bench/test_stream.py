"""Server-sent events, in whatever pieces they come."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stream import Heard

CHUNKS = [
    {"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
    {"choices": [{"delta": {"content": "Zürich "}, "finish_reason": None}]},
    {"choices": [{"delta": {"content": "東京"}, "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
]
STREAM = b": a comment\n\n" + b"".join(
    f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode() for chunk in CHUNKS
)


def heard(*parts: bytes) -> Heard:
    answer = Heard()
    for number, part in enumerate(parts):
        answer.hear(part, float(number))
    return answer


def test_a_whole_stream_gives_text_counts_and_a_time_for_each_choice() -> None:
    answer = heard(STREAM, b"data: [DONE]\n\n")

    assert answer.whole
    assert answer.fault == ""
    assert answer.text == "Zürich 東京"
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 2)
    assert answer.chunks == [0.0, 0.0, 0.0], "the first one marks the first token, without text"


@given(st.sets(st.integers(1, len(STREAM) - 1), max_size=12))
def test_where_the_bytes_are_parted_makes_no_difference(places: set[int]) -> None:
    parts = [STREAM[a:b] for a, b in pairwise([0, *sorted(places), len(STREAM)])]

    answer = heard(*parts, b"data: [DONE]\n\n")

    assert answer.whole
    assert answer.text == "Zürich 東京"
    assert len(answer.chunks) == 3


def test_lines_may_end_as_on_windows_and_the_space_may_be_missing() -> None:
    answer = heard(STREAM.replace(b"\n", b"\r\n").replace(b"data: ", b"data:"), b"data:[DONE]\r\n")

    assert answer.whole


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"", "the stream ended after 0 chunks with no finish reason"),
        (STREAM, "the stream ended after 3 chunks with no [DONE]"),
        (b"data: [DONE]\n", "the stream ended after 0 chunks with no finish reason"),
        (STREAM + b"data: [DONE]", "the stream ended after 3 chunks with no [DONE]"),
        (b'data: {"error": "x"}\n', 'the stream has an event \'{"error": "x"}\''),
        (b"data: [1]\n", "the stream has an event '[1]'"),
        (b'data: {"choices": [null]}\n', "the stream has an event"),
        (b'data: {"usage": {}}\n', "the stream has an event"),
    ],
    ids=["empty", "no done", "only done", "half a line", "error", "list", "null", "no counts"],
)
def test_what_is_missing_or_wrong_is_said(sent: bytes, fault: str) -> None:
    answer = heard(sent)

    assert not answer.whole
    assert answer.fault.startswith(fault)


def test_an_error_is_no_whole_answer_even_where_the_end_came() -> None:
    assert not heard(STREAM, b'data: {"error": "x"}\ndata: [DONE]\n').whole
