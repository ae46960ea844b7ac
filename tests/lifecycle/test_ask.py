import json

import pytest

from lifecycle.ask import ask, first_model, request_body
from lifecycle.errors import LifecycleError
from tests.lifecycle.local_server import Answer, LocalServer, serve

MODELS, CHAT = "GET /v3/models", "POST /v3/chat/completions"
ANSWER = '{"choices": [{"message": {"role": "assistant", "content": "Paris."}}]}'


def message_of(models: Answer, chat: Answer = (200, ANSWER)) -> str:
    with serve(LocalServer(answers={MODELS: [models], CHAT: [chat]})) as stack:
        endpoint = f"http://127.0.0.1:{stack.port}/v3"
        with pytest.raises(LifecycleError) as refused:
            ask(endpoint, first_model(endpoint), "Why?")
    return str(refused.value).replace(endpoint, "ENDPOINT")


def test_the_first_model_is_asked_the_question() -> None:
    models = '{"data": [{"id": "small"}, {"id": "large"}]}'
    with serve(LocalServer(answers={MODELS: [(200, models)], CHAT: [(200, ANSWER)]})) as stack:
        endpoint = f"http://127.0.0.1:{stack.port}/v3"

        model = first_model(endpoint)
        answer = ask(endpoint, model, "What is the capital of France?")

    assert (model, answer) == ("small", "Paris.")
    assert json.loads(stack.bodies[-1]) == {
        "model": "small",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 40,
        "temperature": 0,
    }


def test_a_stack_without_a_model_is_told() -> None:
    assert message_of((200, '{"data": []}')) == (
        'ENDPOINT: asking a question: no list of models: {"data": []}.\n'
        "  What to do: look at `make status` and `make logs` (with STACK=NAME)."
    )


@pytest.mark.parametrize(
    ("models", "chat"),
    [
        ((503, '{"error": "closed"}'), (200, ANSWER)),
        ((200, '{"data": [{"id": "m"}]}'), (503, '{"error": "closed"}')),
    ],
    ids=["no models", "no answer"],
)
def test_an_error_is_told_as_the_stack_puts_it(models: Answer, chat: Answer) -> None:
    assert 'asking a question: status 503: {"error": "closed"}.' in message_of(models, chat)


def test_a_port_that_nobody_listens_on_is_told() -> None:
    with serve(LocalServer(answers={})) as gone:
        pass

    with pytest.raises(LifecycleError, match=r"no answer \(.*Connection refused\)"):
        first_model(f"http://127.0.0.1:{gone.port}/v3")


@pytest.mark.parametrize("text", ["<html>", "{}", '{"choices": []}'])
def test_an_answer_that_is_no_completion_is_told(text: str) -> None:
    """Another program that answers on the port, for one."""
    assert text in message_of((200, '{"data": [{"id": "m"}]}'), (200, text))


def test_the_same_question_is_the_same_request() -> None:
    assert request_body("m", "Q") == request_body("m", "Q")
