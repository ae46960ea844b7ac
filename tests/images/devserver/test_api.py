"""The paths, status codes and shapes that ovms-numa and its clients rely on."""

import http.client

import pytest

from images.devserver.devserver.registry import Registry
from tests.images.devserver.conftest import MODEL, Api, Serve, question, wait_until
from tests.images.devserver.fakes import ANSWER, FakeGenerator

CHAT = "/v3/chat/completions"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v2/health/live", None, 200),
        ("GET", "/v2/health/ready", None, 200),
        ("GET", "/v2", None, 200),
        ("GET", "/v2/models/m", None, 200),
        ("GET", "/v2/models/m/ready", None, 200),
        ("GET", "/v2/models/other/ready", None, 404),
        ("GET", "/v2/models/other", None, 404),
        ("GET", "/v2/models/org%2Fname/ready", None, 404),
        ("GET", "/v3/models", None, 200),
        ("GET", "/v3/models/m", None, 200),
        ("GET", "/v3/models/other", None, 500),
        ("GET", "/v1/config", None, 200),
        ("GET", "/metrics", None, 200),
        ("GET", "/nowhere", None, 400),
        ("GET", CHAT, None, 406),
        ("DELETE", "/v2/health/live", None, 406),
        ("POST", CHAT, question(max_tokens=1), 200),
        ("POST", "/v3/completions", {"model": "m", "prompt": "Hi", "max_tokens": 1}, 200),
        ("POST", CHAT, question(model="other"), 404),
        ("POST", CHAT, b"{", 412),
        ("POST", CHAT, {"messages": []}, 412),
        ("POST", CHAT, question(stream="yes"), 412),
        ("POST", CHAT, question(temperature=3), 400),
        ("POST", CHAT, question(messages=[{"role": "alien", "content": "x"}]), 400),
        ("POST", CHAT, question(messages=[{"role": "user", "content": "x" * 100_000}]), 400),
        ("POST", CHAT, question(max_tokens=100_000), 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_status_codes_are_ovms_s(
    api: Api, method: str, path: str, body: object, status: int
) -> None:
    reply = api.call(method, path, body)

    assert reply.status == status
    if status >= 400:
        assert list(reply.json()) == ["error"]


def test_before_a_model_was_tried_it_is_unknown_and_the_server_only_alive(serve: Serve) -> None:
    api = serve(Registry())

    assert api.call("GET", "/v2/health/live").status == 200
    assert api.call("GET", "/v2/health/ready").status == 503
    assert api.call("GET", "/v1/config").json() == {}
    assert api.call("GET", "/v3/models").json()["data"] == []
    assert api.call("GET", "/v2/models/m/ready").status == 404
    assert api.chat().status == 404


def test_a_model_that_failed_stays_known_and_the_server_is_ready(serve: Serve) -> None:
    registry = Registry(started=True)
    registry.fail(MODEL)
    api = serve(registry)

    assert api.call("GET", "/v2/health/ready").status == 200
    assert api.call("GET", "/v2/models/m/ready").status == 404
    assert api.chat().status == 500
    (version,) = api.call("GET", "/v1/config").json()[MODEL]["model_version_status"]
    assert version["state"] == "LOADING"
    assert version["status"]["error_code"] == "FAILED_PRECONDITION"


def test_a_loaded_model_is_available(api: Api) -> None:
    (version,) = api.call("GET", "/v1/config").json()[MODEL]["model_version_status"]

    assert version["state"] == "AVAILABLE"
    assert version["status"] == {"error_code": "OK", "error_message": "OK"}


def test_a_body_that_is_not_json_by_its_type_names_no_model(api: Api) -> None:
    connection = api.connect()
    connection.request("POST", CHAT, b'{"model": "m"}', {"content-type": "text/plain"})

    assert connection.getresponse().status == 404
    connection.close()


def test_it_never_calls_itself_ovms(api: Api) -> None:
    assert api.call("GET", "/v2").json()["name"] == "ovms-numa devserver"
    assert api.call("GET", "/v3/models/m").json()["owned_by"] == "ovms-numa devserver"


def test_a_chat_is_answered_with_its_text_reason_and_token_counts(api: Api) -> None:
    reply = api.chat().json()

    (choice,) = reply["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == ANSWER
    assert choice["finish_reason"] == "stop"
    made = len(ANSWER.encode())
    assert reply["usage"] == {
        "prompt_tokens": 2,
        "completion_tokens": made,
        "total_tokens": made + 2,
    }
    assert reply["object"] == "chat.completion"
    assert reply["model"] == MODEL


def test_a_token_limit_ends_the_answer_with_length(api: Api) -> None:
    reply = api.chat(max_tokens=2).json()

    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2


def test_ignoring_the_end_goes_on_to_the_limit(api: Api) -> None:
    made = len(ANSWER.encode())

    reply = api.chat(max_tokens=2 * made, ignore_eos=True).json()

    assert reply["choices"][0]["message"]["content"] == ANSWER * 2


def test_a_stream_carries_the_same_text_in_pieces(api: Api) -> None:
    reply = api.chat(stream=True)

    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    first, *pieces = [event["choices"][0] for event in reply.events()]
    assert first["delta"] == {"role": "assistant", "content": None}
    assert "".join(piece["delta"]["content"] for piece in pieces) == ANSWER
    assert [piece["finish_reason"] for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]
    assert {event["object"] for event in reply.events()} == {"chat.completion.chunk"}


def test_no_piece_of_a_stream_has_half_a_character(api: Api) -> None:
    text = api.chat(stream=True).text

    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert "世" in text


def test_a_stream_ends_with_token_counts_only_where_asked(api: Api) -> None:
    with_counts = api.chat(stream=True, stream_options={"include_usage": True}).events()
    without = api.chat(stream=True).events()

    assert with_counts[-1]["choices"] == []
    assert with_counts[-1]["usage"]["completion_tokens"] == len(ANSWER.encode())
    assert not any("usage" in event for event in without)


def test_a_plain_completion_streams_text(api: Api) -> None:
    body = {"model": MODEL, "prompt": "Hi", "stream": True}

    events = api.call("POST", "/v3/completions", body).events()

    assert "".join(event["choices"][0]["text"] for event in events) == ANSWER
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_first_byte_of_a_stream_waits_for_the_first_token(serve: Serve) -> None:
    model = FakeGenerator()
    model.may_step.clear()
    api = serve(model=model)
    connection = api.connect()
    api.send(connection, "POST", CHAT, question(stream=True))
    wait_until(lambda: model.load().running == 1)
    assert connection.sock is not None
    connection.sock.settimeout(0.2)

    with pytest.raises(TimeoutError):
        connection.sock.recv(1)

    model.may_step.set()
    connection.sock.settimeout(10)
    assert connection.sock.recv(12) == b"HTTP/1.1 200"
    connection.close()


def test_an_engine_error_before_the_first_token_is_400(serve: Serve) -> None:
    api = serve(model=FakeGenerator(fails_after=0))

    for stream in (False, True):
        reply = api.chat(stream=stream)
        assert reply.status == 400
        assert "KV cache" in reply.json()["error"]
    assert api.metric("ovms_graph_error") == 2


def test_an_engine_error_within_a_stream_cuts_the_connection(serve: Serve) -> None:
    """A client must not take half an answer for a whole one."""
    api = serve(model=FakeGenerator(fails_after=3))

    with pytest.raises(http.client.IncompleteRead):
        api.chat(stream=True)


def test_metrics_are_400_unless_enabled(serve: Serve) -> None:
    assert serve(metrics_enable=False).call("GET", "/metrics").status == 400


def test_metrics_have_ovms_s_names_and_labels(serve: Serve) -> None:
    api = serve()
    api.chat()
    api.chat(stream=True)
    api.chat(temperature=9)

    text = api.call("GET", "/metrics").text

    labels = '{api="V3",interface="REST",method="Unary",name="m"}'
    assert f"ovms_requests_accepted{labels} 1.0" in text
    assert f"ovms_requests_rejected{labels} 1.0" in text
    assert 'ovms_requests_accepted{api="V3",interface="REST",method="Stream",name="m"} 1.0' in text
    assert 'ovms_current_graphs{name="m"} 0.0' in text
    assert api.metric("devserver_generated_tokens_total") == 2 * len(ANSWER.encode())
