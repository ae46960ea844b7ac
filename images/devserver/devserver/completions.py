"""The two generating endpoints: queue, generate, answer, and stop when the client goes away."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .detokenizer import Detokenizer
from .errors import RequestError
from .generation import FinishReason, Generator, Step, Tokens
from .metrics import Metrics
from .registry import Registry
from .replies import Reply, Usage
from .requests import Envelope, Question, parse_envelope, parse_question

log = logging.getLogger("devserver")

_SSE_HEADERS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


@dataclass(frozen=True, slots=True)
class _Job:
    """One request on its way: what was asked, of which model."""

    envelope: Envelope
    question: Question
    generator: Generator
    labels: dict[str, str]


class Completions:
    """
    An ASGI endpoint for ``chat/completions`` or ``completions``.

    At most as many generations run as *slots* has; the others wait in the order they came, without
    limit and without an answer, as in OVMS.
    """

    def __init__(
        self, *, chat: bool, registry: Registry, metrics: Metrics, slots: asyncio.Semaphore
    ) -> None:
        self._chat = chat
        self._registry = registry
        self._metrics = metrics
        self._slots = slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or give it up as soon as its client is gone."""
        request = Request(scope, receive)
        try:
            raw = await request.body()
        except ClientDisconnect:
            return
        typed = request.headers.get("content-type", "").startswith("application/json")
        answering = asyncio.create_task(self._answer(raw, _Line(send), typed=typed))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            answering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answering

    async def _answer(self, raw: bytes, line: "_Line", *, typed: bool) -> None:
        try:
            await self._generate(self._job(raw, typed=typed), line)
        except RequestError as error:
            if line.begun:
                # Left unfinished, the connection is cut: the client must not take half an answer
                # for a whole one.
                log.error("a stream broke off: %s", error)
                return
            await line.whole(JSONResponse({"error": str(error)}, error.status))

    def _job(self, raw: bytes, *, typed: bool) -> _Job:
        if not typed:
            # OVMS then takes the model's name from the path, where none is.
            raise RequestError(404, "Mediapipe graph definition with requested name is not found")
        envelope = parse_envelope(raw)
        generator = self._registry.find(envelope.model)
        method = "Stream" if envelope.stream else "Unary"
        labels = {"name": envelope.model, "api": "V3", "interface": "REST", "method": method}
        try:
            question = parse_question(envelope, chat=self._chat)
        except RequestError:
            self._metrics.rejected.labels(**labels).inc()
            raise
        self._metrics.accepted.labels(**labels).inc()
        return _Job(envelope, question, generator, labels)

    async def _generate(self, job: _Job, line: "_Line") -> None:
        name = job.envelope.model
        with self._metrics.queued.labels(name).track_inprogress():
            await self._slots.acquire()
        try:
            with self._metrics.current.labels(name).track_inprogress():
                prompt = await asyncio.to_thread(_encode, job)
                async with _steps(job, prompt) as steps:
                    await self._write(job, len(prompt), steps, line)
        except RequestError:
            self._metrics.errors.labels(**job.labels).inc()
            raise
        finally:
            self._slots.release()

    async def _write(
        self, job: _Job, prompt: int, steps: AsyncIterator[Step], line: "_Line"
    ) -> None:
        reply = Reply(job.envelope.model, self._chat)
        pieces = Detokenizer(job.generator.decode)
        responses = self._metrics.responses.labels(**job.labels)
        text, made, finish = "", 0, None
        async for step in steps:
            made += len(step.tokens)
            piece, finish = pieces.add(step.tokens), step.finish
            if finish:
                piece += pieces.finish()
            if job.envelope.stream:
                await _send_piece(line, reply, piece, finish)
                responses.inc()
            text += piece
        usage = Usage(prompt, made)
        if job.envelope.stream:
            await line.end(reply.last(usage if job.question.include_usage else None))
        else:
            await line.whole(_json(reply.unary(text, finish or "length", usage)))
            responses.inc()


async def _send_piece(line: "_Line", reply: Reply, piece: str, finish: FinishReason | None) -> None:
    if not line.begun:
        # Only now, so that the time to the first byte is the time to the first token.
        await line.begin(reply.first())
    if piece or finish:
        await line.more(reply.piece(piece, finish))


@contextlib.asynccontextmanager
async def _steps(job: _Job, prompt: Tokens) -> AsyncIterator[AsyncIterator[Step]]:
    """Start the generation and lend its steps; whatever happens, it does not outlive this."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[Step] = asyncio.Queue()
    cancel = job.generator.start(
        prompt, job.question.sampling, lambda step: _post(loop, arrived, step)
    )
    try:
        yield _until_finished(arrived)
    finally:
        cancel()


def _post(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Step], step: Step) -> None:
    loop.call_soon_threadsafe(queue.put_nowait, step)


async def _until_finished(arrived: asyncio.Queue[Step]) -> AsyncIterator[Step]:
    while True:
        step = await arrived.get()
        if step.error:
            raise RequestError(400, step.error)
        yield step
        if step.finish:
            return


def _encode(job: _Job) -> Tokens:
    """Tokenise the prompt and see that it and the answer fit the model's context."""
    question, generator = job.question, job.generator
    try:
        if question.messages is not None:
            prompt = generator.encode_chat(question.messages)
        else:
            prompt = generator.encode_text(question.prompt or "")
    except ValueError as error:
        raise RequestError(400, str(error)) from None
    wanted = question.sampling.max_new_tokens or 1
    if len(prompt) + wanted > generator.max_length:
        raise RequestError(
            400,
            f"Number of prompt tokens: {len(prompt)} + max tokens value: {wanted} exceeds model "
            f"max length: {generator.max_length}",
        )
    return prompt


async def _left(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


class _Line:
    """The way back to the client: either one whole response or a stream of events."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def whole(self, response: Response) -> None:
        headers = response.raw_headers
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        self.begun = True
        await self._send({"type": "http.response.body", "body": bytes(response.body)})

    async def begin(self, chunk: bytes) -> None:
        self.begun = True
        start = {"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS}
        await self._send(start)
        await self.more(chunk)

    async def more(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk})
