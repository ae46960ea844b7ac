"""One request against a server whose timings are known, and every way in which it can fail."""

import asyncio
import socket
import statistics
from typing import Any

import pytest

from bench.client import first_model
from bench.load import LoadError
from bench.record import End, Record
from bench.run import run
from tests.bench.loads import load, ran
from tests.bench.scripted_server import Script, serving

SLOW = Script(delays_s=(0.3, *(0.02,) * 9), usage={"prompt_tokens": 11, "completion_tokens": 19})


def only(script: Script, **more: Any) -> Record:
    _, outcome = ran(script, **more)
    (record,) = outcome.records
    return record


def test_each_chunk_is_stamped_after_the_server_sent_it_and_in_order() -> None:
    server, outcome = ran(SLOW)
    (record,) = outcome.records
    sent = server.sent[0]

    assert record.end is End.DONE
    assert len(record.chunks) == len(sent) == 10
    assert all(seen >= at for seen, at in zip(record.chunks, sent, strict=True))
    assert list(record.chunks) == sorted(record.chunks)
    assert outcome.began <= record.started < sent[0]
    assert record.ended <= outcome.began + outcome.duration_s


def test_the_first_token_is_waited_for_and_the_others_come_faster() -> None:
    record = only(SLOW)

    assert record.ttft_s >= 0.3
    assert record.latency_s >= 0.3 + 9 * 0.02
    assert statistics.median(record.gaps_s) < record.ttft_s / 2
    assert record.tpot_s == pytest.approx(sum(record.gaps_s) / 18), "19 tokens in 10 chunks"


def test_tokens_are_those_that_the_server_counted() -> None:
    record = only(SLOW)

    assert (record.prompt_tokens, record.output_tokens) == (11, 19)
    assert record.text.split() == [f"t{number}" for number in range(10)]


def test_without_the_server_s_count_the_prompt_is_estimated_and_chunks_are_counted() -> None:
    record = only(Script(usage=None))

    assert (record.end, record.counted_tokens) == (End.DONE, None)
    assert (record.prompt_tokens, record.output_tokens) == (5, 3)


def test_a_request_streams_and_asks_for_the_counts() -> None:
    server, _ = ran(Script(), ignore_eos=True)

    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "What is it?"}],
            "max_completion_tokens": 3,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }
    ]


def test_without_being_told_to_go_on_the_model_may_end_by_itself() -> None:
    server, _ = ran(Script())

    assert "ignore_eos" not in server.bodies[0]


def test_a_port_where_nobody_listens_is_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v3/chat/completions"
        (record,) = asyncio.run(run(load(url))).records

    assert (record.end, record.status, record.instance) == (End.REFUSED, None, None)
    assert record.error.startswith("no connection: Cannot connect to host 127.0.0.1")


@pytest.mark.parametrize(
    ("script", "end", "error"),
    [
        (Script(status=503, body="busy"), End.STATUS, "status 503: busy"),
        (Script(status=302, body=""), End.STATUS, "status 302: Said"),
        (Script(finish=False), End.CUT, "ended after 3 chunks with no finish reason"),
        (Script(done=False), End.CUT, "ended after 3 chunks with no [DONE]"),
        (Script(event='{"error": "poison"}'), End.CUT, 'an event \'{"error": "poison"}\''),
        (Script(event="<html>"), End.CUT, "an event '<html>'"),
        (Script(close_after=1), End.CUT, "the connection was lost after 1 chunks"),
        (Script(reset_after=2), End.CUT, "the connection was lost after 2 chunks"),
    ],
    ids=["503", "redirect", "no finish", "no done", "error", "no json", "closed", "reset"],
)
def test_a_failure_is_of_its_kind_and_says_what_was_seen(
    script: Script, end: End, error: str
) -> None:
    record = only(script)

    assert record.end is end
    assert record.failed
    assert error in record.error
    assert record.status == script.status
    assert record.instance == "10.0.0.1:8000", "the instance is known where an answer began"


def test_a_connection_that_is_lost_before_an_answer_is_a_cut_and_not_tried_again() -> None:
    """The first request leaves a connection, on which the second one is reset."""
    server, outcome = ran(
        lambda number: Script() if number == 0 else Script(reset_at_once=True),
        2,
        max_concurrency=1,
    )

    assert [one.end for one in outcome.records] == [End.DONE, End.CUT]
    assert "lost before an answer" in outcome.records[1].error
    assert (len(server.bodies), server.connections) == (2, 1)


def test_an_answer_that_takes_longer_than_the_time_out_is_one() -> None:
    record = only(Script(silent=True), timeout_s=0.2)

    assert record.end is End.TIMEOUT
    assert record.ended - record.started >= 0.2
    assert record.error == "not whole after 0.2 s"


def test_what_came_before_a_time_out_is_kept() -> None:
    record = only(Script(delays_s=(0, 60)), timeout_s=1.5)

    assert (record.end, record.text) == (End.TIMEOUT, "t0 ")


def test_pooled_connections_are_used_again() -> None:
    server, outcome = ran(Script(), 12, max_concurrency=3)

    assert server.connections == outcome.opened == 3
    assert outcome.reused == 9
    assert all(one.end is End.DONE for one in outcome.records)


def test_a_new_connection_is_made_for_each_request_where_that_is_asked_for() -> None:
    server, outcome = ran(Script(), 12, max_concurrency=3, connections="new")

    assert server.connections == outcome.opened == 12
    assert outcome.reused == 0


@pytest.mark.parametrize(
    ("header", "instance"),
    [
        ("10.0.0.1:8000", "10.0.0.1:8000"),
        ("10.0.0.1:8000, 10.0.0.2:8001", "10.0.0.2:8001"),
        ("10.0.0.1:8000, 10.0.0.2:8001 : 10.0.0.3:8002", "10.0.0.3:8002"),
        ("unix:/tmp/one.sock", "unix:/tmp/one.sock"),
        ("[::1]:8000", "[::1]:8000"),
        ("-", None),
        (None, None),
    ],
)
def test_the_instance_is_the_last_server_that_was_tried(
    header: str | None, instance: str | None
) -> None:
    assert only(Script(upstream=header)).instance == instance


def test_no_proxy_of_the_environment_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert only(Script()).end is End.DONE


def test_the_first_model_is_the_one_that_the_server_lists() -> None:
    async def listed() -> str:
        async with serving(Script()) as server:
            return await first_model(server.url.replace("chat/completions", "models"))

    assert asyncio.run(listed()) == "listed"


def test_where_no_model_is_listed_the_flag_that_names_one_is_told() -> None:
    with pytest.raises(
        LoadError, match=r"lists no model: no answer .*\. Name the model with --model"
    ):
        asyncio.run(first_model("http://127.0.0.1:1/v3/models"))
