"""One request to an OpenAI-compatible server, and what became of it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp

from bench.dataset import Prompt
from bench.load import Connections, Load, LoadError
from bench.record import End, Record, instance_of
from bench.stream import Heard

# Below the 60 and 75 seconds after which servers close idle connections: one that is being closed
# while a request is on its way would be a cut stream that no server is to blame for.
_IDLE_S = 30
_MOST_ERROR_BYTES = 500
_NO_BOUND = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


@dataclass(slots=True)
class Used:
    """How many connections a session made, and how often one was used again."""

    opened: int = 0
    reused: int = 0


@dataclass(slots=True)
class _Answer:
    """What came of one answer so far."""

    heard: Heard = field(default_factory=Heard)
    status: int | None = None
    instance: str | None = None
    error: str = ""


@asynccontextmanager
async def open_session(load: Load, used: Used) -> AsyncIterator[aiohttp.ClientSession]:
    """
    Open what all requests of *load* share; *used* is kept up to date.

    No proxy of the environment is used, no cookie is kept, and nothing is bounded in time.
    """
    pooled = load.connections is Connections.POOLED
    connector = aiohttp.TCPConnector(
        limit=load.max_concurrency or 0,
        ttl_dns_cache=None,
        **({"keepalive_timeout": _IDLE_S} if pooled else {"force_close": True}),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=_NO_BOUND,
        trace_configs=[_counting(used)],
    ) as session:
        yield session


async def ask(session: aiohttp.ClientSession, load: Load, index: int, prompt: Prompt) -> Record:
    """
    Send one request and return what became of it, whatever that is; nothing is tried again.

    A cancelled request returns too: it was stopped by this client.
    """
    answer = _Answer()
    started = time.monotonic()
    end = await _converse(session, load, prompt, answer)
    heard = answer.heard
    return Record(
        index=index,
        started=started,
        ended=time.monotonic(),
        chunks=tuple(heard.chunks),
        end=End.DONE if heard.whole else end,
        status=answer.status,
        error="" if heard.whole else answer.error,
        instance=answer.instance,
        prompt_tokens=prompt.tokens if heard.prompt_tokens is None else heard.prompt_tokens,
        counted_tokens=heard.completion_tokens,
        text=heard.text,
    )


async def _converse(
    session: aiohttp.ClientSession, load: Load, prompt: Prompt, answer: _Answer
) -> End:
    """Fill *answer*, and return how it ended, where the answer is not whole."""
    try:
        async with asyncio.timeout(load.timeout_s):
            return await _listen(session, load, prompt, answer)
    except asyncio.CancelledError:
        answer.error = "cut by this client, whose run ended"
        return End.STOPPED
    except TimeoutError:
        answer.error = f"not whole after {load.timeout_s:g} s"
        return End.TIMEOUT
    except aiohttp.ClientConnectorError as error:
        answer.error = f"no connection: {error}"
        return End.REFUSED
    except (aiohttp.ClientError, OSError) as error:
        after = f"after {len(answer.heard.chunks)} chunks" if answer.status else "before an answer"
        answer.error = f"the connection was lost {after}: {error or type(error).__name__}"
        return End.CUT


async def _listen(
    session: aiohttp.ClientSession, load: Load, prompt: Prompt, answer: _Answer
) -> End:
    async with session.post(
        load.url, json=request_body(load, prompt), allow_redirects=False
    ) as response:
        answer.status = response.status
        answer.instance = instance_of(response.headers.get("X-Upstream"))
        if response.status != 200:
            said = (await response.content.read(_MOST_ERROR_BYTES)).decode(errors="replace")
            answer.error = f"status {response.status}: {said.strip() or response.reason}"
            return End.STATUS
        async for data in response.content.iter_any():
            answer.heard.hear(data, time.monotonic())
    answer.error = answer.heard.fault
    return End.CUT


def request_body(load: Load, prompt: Prompt) -> dict[str, Any]:
    """Return the JSON of a streamed chat completion that ends with its token counts."""
    body: dict[str, Any] = {
        "model": load.model,
        "messages": [{"role": "user", "content": prompt.text}],
        "max_completion_tokens": prompt.max_tokens,
        "temperature": load.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body | ({"ignore_eos": True} if load.ignore_eos else {})


async def first_model(url: str) -> str:
    """
    Return the first model that a server lists at *url*, such as ``http://127.0.0.1:8000/v3/models``.

    Raises:
        LoadError: there is no such list, or no model in it.
    """
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            seen = f"status {response.status}: {(await response.text())[:_MOST_ERROR_BYTES]}"
            if response.status == 200:
                return str((await response.json(content_type=None))["data"][0]["id"])
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        seen = f"no answer ({error})"
    except (json.JSONDecodeError, LookupError, TypeError):
        pass
    raise LoadError(f"{url} lists no model: {seen}. Name the model with --model.")


def _counting(used: Used) -> aiohttp.TraceConfig:
    async def opened(*_: object) -> None:
        used.opened += 1

    async def reused(*_: object) -> None:
        used.reused += 1

    trace = aiohttp.TraceConfig(trace_config_ctx_factory=SimpleNamespace)
    trace.on_connection_create_end.append(opened)
    trace.on_connection_reuseconn.append(reused)
    return trace
