"""Pieces of text must join to the text of all tokens, wherever tokens cut characters."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from images.devserver.devserver.detokenizer import Detokenizer


def _bytes(tokens: Sequence[int]) -> str:
    """One token a byte, as byte-level BPE falls back to."""
    return bytes(tokens).decode(errors="replace")


def _words(tokens: Sequence[int]) -> str:
    """SentencePiece's habit: the space before a run's first word is dropped."""
    return "".join(f" {'abc'[token % 3] * (1 + token % 5)}" for token in tokens)[1:]


def _pieces(decode: object, tokens: Sequence[int], size: int) -> list[str]:
    made = Detokenizer(decode)  # type: ignore[arg-type]
    cuts = range(0, len(tokens), size)
    return [*(made.add(tokens[cut : cut + size]) for cut in cuts), made.finish()]


@given(st.text(max_size=80), st.integers(1, 7))
def test_pieces_of_bytes_join_to_the_text_and_no_piece_is_broken(text: str, size: int) -> None:
    pieces = _pieces(_bytes, text.encode(), size)

    assert "".join(pieces) == text
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(st.lists(st.integers(0, 1000), max_size=80), st.integers(1, 7))
def test_pieces_keep_the_spaces_between_words(tokens: list[int], size: int) -> None:
    assert "".join(_pieces(_words, tokens, size)) == _words(tokens)


def test_text_comes_as_soon_as_it_is_whole() -> None:
    made = Detokenizer(_bytes)
    euro = "a€b".encode()

    assert [made.add([byte]) for byte in euro] == ["a", "", "", "€", "b"]


def test_what_never_becomes_a_character_is_given_at_the_end() -> None:
    made = Detokenizer(_bytes)

    assert made.add([0xE2, 0x82]) == ""
    assert made.finish() == "\N{REPLACEMENT CHARACTER}"


def test_a_long_answer_costs_no_more_per_token_than_a_short_one() -> None:
    longest = 0

    def decode(tokens: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(tokens))
        return _bytes(tokens)

    made = Detokenizer(decode)
    text = "".join(made.add([byte]) for byte in b"word " * 400)

    assert text == "word " * 400
    assert longest < 30
