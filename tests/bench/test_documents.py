"""docs/benchmark.md shows what runs."""

import asyncio
import re
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.flags import parse
from bench.record import End
from bench.report import as_json
from bench.results import METRICS, summarise
from bench.run import Run
from tests.bench.loads import load, ran
from tests.bench.scripted_server import Script, serving

TEXT = (Path(__file__).parents[2] / "docs" / "benchmark.md").read_text()
COMMAND = "venv/bin/python -m bench "


def test_each_line_that_is_shown_is_understood() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith(COMMAND)]

    parsed = [parse(shlex.split(line.removeprefix(COMMAND))) for line in lines]

    assert len(parsed) == 3
    assert all(flags.save_result for flags in parsed)


def test_each_field_that_is_told_of_is_kept() -> None:
    _, outcome = ran(Script())
    kept = as_json(outcome, summarise(outcome.records, 1.0, ()), load(), METRICS, "made up")
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", TEXT.split("## What is kept")[1], re.M)

    fields = {field for row in rows for field in re.findall(r"`(\w+)`", row)}

    assert len(fields) >= 10
    assert fields - kept.keys() == set()


def test_the_program_keeps_a_server_under_load_while_something_happens() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    shown: dict[str, Any] = {}
    exec(program, shown)  # noqa: S102 (the document's own)

    async def use() -> Run:
        async with serving(Script()) as server:
            shown["load"] = replace(shown["load"], url=server.url)
            outcome = await shown["under_load"](lambda: time.sleep(0.3))
            assert isinstance(outcome, Run)
            return outcome

    outcome = asyncio.run(use())

    assert len(outcome.records) > 8, "as one ends, the next begins"
    assert {one.end for one in outcome.records} == {End.DONE}
