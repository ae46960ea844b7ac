"""The load client against the stand-in's own API, whose form is OVMS's."""

import asyncio

import pytest

pytest.importorskip("aiohttp")

from bench.client import first_model
from bench.dataset import Prompt
from bench.load import Connections, Load
from bench.record import End
from bench.run import Run, run
from tests.images.devserver.conftest import MODEL, Api, Serve
from tests.images.devserver.fakes import FakeGenerator

COUNT = 40
TOKENS = 25


def loaded(api: Api, connections: Connections = Connections.POOLED, model: str = MODEL) -> Run:
    load = Load(
        url=f"http://127.0.0.1:{api.port}/v3/chat/completions",
        model=model,
        prompts=(Prompt(text="Say it again.", tokens=4, max_tokens=TOKENS),) * COUNT,
        connections=connections,
        ignore_eos=True,
    )
    return asyncio.run(run(load))


@pytest.mark.parametrize("connections", list(Connections))
def test_more_requests_than_slots_are_queued_and_all_are_done(
    api: Api, connections: Connections
) -> None:
    outcome = loaded(api, connections)

    assert [one.end for one in outcome.records] == [End.DONE] * COUNT
    assert {one.output_tokens for one in outcome.records} == {TOKENS}
    assert all(one.prompt_tokens > 4 for one in outcome.records), "with the chat template"
    assert outcome.opened == COUNT


def test_a_model_that_it_does_not_serve_is_a_status_with_what_it_said(api: Api) -> None:
    outcome = loaded(api, model="other")

    assert {(one.end, one.status) for one in outcome.records} == {(End.STATUS, 404)}
    assert '"error"' in outcome.records[0].error


def test_generation_that_fails_in_the_middle_is_a_cut(serve: Serve) -> None:
    outcome = loaded(serve(model=FakeGenerator(fails_after=12)))

    assert {one.end for one in outcome.records} == {End.CUT}
    assert all(one.chunks for one in outcome.records)


def test_the_first_model_is_found(api: Api) -> None:
    assert asyncio.run(first_model(f"http://127.0.0.1:{api.port}/v3/models")) == MODEL
