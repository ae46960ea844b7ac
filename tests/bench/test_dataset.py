"""Prompts out of ShareGPT's format, and made-up ones."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from bench.dataset import DatasetError, Prompt, estimated_tokens, read_sharegpt, sample
from bench.synthetic import DEMO_MEAN_INPUT, DEMO_MEAN_OUTPUT, demo_prompts, random_prompts

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "data" / "bench" / "sharegpt.json"
QUESTIONS = ROOT / "bench" / "questions.json"
ASKED, SAID = "a" * 100, "b" * 60


def turn(who: object, text: object) -> dict[str, object]:
    return {"from": who, "value": text}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conversations.json"


def read(file: Path, *conversations: Any) -> list[str]:
    """Return the prompts out of these turns, beside one that always passes."""
    passing = [turn("human", "this one passes all filters"), turn("gpt", "and has a reply too")]
    entries = [{"conversations": turns} for turns in (*conversations, passing)]
    file.write_text(json.dumps(entries))
    *prompts, last = read_sharegpt(file)
    assert last.text == "this one passes all filters"
    return [prompt.text for prompt in prompts]


def test_the_first_human_turn_is_the_prompt_and_its_reply_gives_the_length(file: Path) -> None:
    file.write_text(json.dumps([{"conversations": [turn("human", ASKED), turn("gpt", SAID)]}]))

    assert read_sharegpt(file) == (Prompt(text=ASKED, tokens=25, max_tokens=15),)


@pytest.mark.parametrize(
    "turns",
    [
        [turn("system", "Be brief."), turn("human", ASKED), turn("gpt", SAID)],
        [turn("gpt", SAID), turn("human", ASKED), turn("gpt", SAID), turn("human", "more")],
        [turn("user", ASKED), turn("assistant", SAID)],
    ],
    ids=["system first", "reply first", "other names"],
)
def test_what_stands_before_the_first_human_turn_is_passed_over(
    file: Path, turns: list[object]
) -> None:
    assert read(file, turns) == [ASKED]


@pytest.mark.parametrize(
    "turns",
    [
        [],
        None,
        [turn("human", ASKED)],
        [turn("gpt", SAID), turn("gpt", SAID)],
        [turn("human", None), turn("gpt", SAID)],
        ["text", "text"],
        [turn("human", "a" * 12), turn("gpt", SAID)],
        [turn("human", ASKED), turn("gpt", "Yes.")],
        [turn("human", "a" * 4 * 1025), turn("gpt", SAID)],
        [turn("human", "a" * 4 * 1024), turn("gpt", "b" * 4 * 1025)],
    ],
    ids=[
        "empty", "null", "no reply", "no human", "no text", "no turns",
        "short prompt", "short reply", "long prompt", "long together",
    ],
)  # fmt: skip
def test_conversations_that_do_not_pass_are_left_out(file: Path, turns: object) -> None:
    assert read(file, turns) == []


def test_the_longest_that_may_pass_does(file: Path) -> None:
    longest = "a" * 4 * 1024

    assert read(file, [turn("human", longest), turn("gpt", "b" * 4 * 1024)]) == [longest]


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("東京", 2), ("\ud800", 1)]
)
def test_a_token_is_about_four_bytes(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == tokens


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory. Give a file"),
        ("{", "is no JSON: "),
        ('{"conversations": []}', "holds a JSON dict, but ShareGPT's format is a list"),
        ('[{"conversations": []}, 7]', "None of the 2 entries"),
    ],
    ids=["missing", "no json", "no list", "nothing passes"],
)
def test_a_file_that_is_no_dataset_is_refused_in_words(
    file: Path, content: str | None, said: str
) -> None:
    if content is not None:
        file.write_text(content)

    with pytest.raises(DatasetError) as refusal:
        read_sharegpt(file)

    assert said in str(refusal.value)
    assert str(file) in str(refusal.value)


def test_the_example_has_conversations_that_pass_and_some_that_do_not() -> None:
    passing = read_sharegpt(EXAMPLE)

    assert 24 <= len(passing) < len(json.loads(EXAMPLE.read_text()))
    assert len({prompt.text for prompt in passing}) == len(passing)


def test_the_questions_have_short_answers_and_all_of_them_pass() -> None:
    """So that 2,000 of them end before the balancer gives one up, on a small machine too."""
    passing = read_sharegpt(QUESTIONS)

    assert len(passing) == len(json.loads(QUESTIONS.read_text()))
    assert len({prompt.text for prompt in passing}) == len(passing)
    assert all(8 <= prompt.max_tokens <= 24 for prompt in passing)


def test_a_sample_is_another_with_another_seed_and_the_same_with_the_same() -> None:
    prompts = read_sharegpt(EXAMPLE)

    assert sample(prompts, 10, seed=1) == sample(prompts, 10, seed=1)
    assert sample(prompts, 10, seed=1) != sample(prompts, 10, seed=2)
    assert len(set(sample(prompts, 10, seed=1))) == 10


def test_where_there_are_too_few_each_is_taken_as_often_as_any_other() -> None:
    prompts = read_sharegpt(EXAMPLE)

    taken = sample(prompts, 3 * len(prompts), seed=1)

    assert {taken.count(prompt) for prompt in prompts} == {3}
    assert taken[: len(prompts)] != taken[len(prompts) : 2 * len(prompts)]


def test_made_up_prompts_have_the_mean_lengths_of_the_demo_s_run() -> None:
    prompts = demo_prompts(4000, seed=10)

    assert pytest.approx(221.8, abs=0.05) == DEMO_MEAN_INPUT
    assert pytest.approx(183.7, abs=0.05) == DEMO_MEAN_OUTPUT
    assert fmean(one.tokens for one in prompts) == pytest.approx(DEMO_MEAN_INPUT, rel=0.05)
    assert fmean(one.max_tokens for one in prompts) == pytest.approx(DEMO_MEAN_OUTPUT, rel=0.05)


def test_made_up_prompts_keep_to_the_filters_of_real_ones() -> None:
    prompts = demo_prompts(4000, seed=10)

    assert all(4 <= one.tokens <= 1024 for one in prompts)
    assert all(one.max_tokens >= 4 and one.tokens + one.max_tokens <= 2048 for one in prompts)


def test_made_up_prompts_are_as_long_as_they_say_and_do_not_begin_alike() -> None:
    prompts = demo_prompts(500, seed=10)

    assert [len(one.text.split()) for one in prompts] == [one.tokens for one in prompts]
    assert len({tuple(one.text.split()[:4]) for one in prompts}) == 500


def test_made_up_prompts_are_those_of_their_seed() -> None:
    assert demo_prompts(20, seed=10) == demo_prompts(20, seed=10)
    assert demo_prompts(20, seed=10)[:5] == demo_prompts(5, seed=10)
    assert not set(demo_prompts(20, seed=10)) & set(demo_prompts(20, seed=11))


def test_random_prompts_are_all_of_one_length() -> None:
    prompts = random_prompts(5, seed=0, inputs=256, outputs=180)

    assert {(one.tokens, len(one.text.split()), one.max_tokens) for one in prompts} == {
        (256, 256, 180)
    }
    assert len({one.text for one in prompts}) == 5
