"""Runs against a scripted server, and records as they would be."""

import asyncio
from collections.abc import Callable
from typing import Any

from bench.dataset import Prompt
from bench.load import Load
from bench.record import End, Record
from bench.run import Run, run
from tests.bench.scripted_server import Script, Server, serving

PROMPT = Prompt(text="What is it?", tokens=5, max_tokens=3)


def load(url: str = "http://127.0.0.1:1/v3/chat/completions", count: int = 1, **more: Any) -> Load:
    """A load of *count* prompts, all at once."""
    return Load(url=url, model="m", prompts=(PROMPT,) * count, **more)


def ran(
    script: Script | Callable[[int], Script], count: int = 1, *, held: int = 0, **more: Any
) -> tuple[Server, Run]:
    """Run such a load against a server of its own, and return both."""

    async def serve() -> tuple[Server, Run]:
        async with serving(script, held=held) as server:
            return server, await run(load(server.url, count, **more))

    return asyncio.run(serve())


def record(**changes: Any) -> Record:
    """A request that began at 100 s: a token after 1 s, and two more after 0.5 s each."""
    usual: dict[str, Any] = {
        "index": 0,
        "started": 100.0,
        "ended": 102.25,
        "chunks": (101.0, 101.5, 102.0),
        "end": End.DONE,
        "status": 200,
        "error": "",
        "instance": "10.0.0.1:8000",
        "prompt_tokens": 10,
        "counted_tokens": 3,
        "text": "a b c",
    }
    return Record(**(usual | changes))


def failed(end: End, **changes: Any) -> Record:
    """A request that ended so before a token came."""
    nothing = {"chunks": (), "status": None, "counted_tokens": None, "text": "", "error": f"{end}!"}
    return record(**({"end": end} | nothing | changes))
