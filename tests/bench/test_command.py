"""``python -m bench`` as a process: what it prints, keeps and returns."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bench.scripted_server import Script, Server, serving

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "data" / "bench" / "sharegpt.json"
QUICK = Script(delays_s=(0.0, 0.0))
ENDLESS = Script(silent=True)


class Running:
    """
    The command while it runs.

    Attributes:
        server: that it asks.
        err: what it wrote of its progress so far.
    """

    def __init__(self, process: Process, server: Server) -> None:
        self.server, self.err = server, ""
        self._process = process

    async def read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self.err += line.decode()

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached() and self._process.returncode is None:
            await asyncio.sleep(0.01)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)


Meanwhile = Callable[[Running], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a process left: its status, what it printed, and what the server saw."""

    status: int | None
    out: str
    err: str
    server: Server


async def _nothing(_: Running) -> None:
    return


def bench(
    script: Script | Callable[[int], Script],
    *flags: str,
    held: int = 0,
    meanwhile: Meanwhile = _nothing,
) -> Done:
    """Run the command against a server of its own, and do something *meanwhile*."""

    async def process() -> Done:
        async with serving(script, held=held) as server:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "bench", "--port", str(server.port), *flags,
                cwd=ROOT, stdout=PIPE, stderr=PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            running = Running(process, server)
            try:
                out, *_ = await asyncio.gather(
                    process.stdout.read(), running.read(), meanwhile(running)
                )
                status = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
            return Done(status=status, out=out.decode(), err=running.err, server=server)

    return asyncio.run(process())


def saved(folder: Path) -> dict[str, Any]:
    (path,) = folder.iterdir()
    return dict(json.loads(path.read_text()))


def test_the_table_is_printed_and_the_result_is_kept(tmp_path: Path) -> None:
    done = bench(
        QUICK, "--model", "m", "--dataset-path", str(EXAMPLE), "--num-prompts", "40",
        "--request-rate", "inf", "--save-result", "--seed", "10", "--result-dir", str(tmp_path),
    )  # fmt: skip

    assert done.status == 0, done.err
    assert "Successful requests:                     40 " in done.out
    assert "Connections: pooled, 40 made" in done.out
    assert "prompts: 29 conversations of sharegpt.json" in done.err
    (name,) = (path.name for path in tmp_path.iterdir())
    assert name.startswith("openai-chat-infqps-m-")
    kept = saved(tmp_path)
    assert (kept["completed"], kept["seed"], kept["model_id"]) == (40, 10, "m")
    assert "ignore_eos" not in done.server.bodies[0], "conversations end by themselves"


def test_without_a_model_and_a_dataset_the_server_is_asked_and_prompts_are_made_up() -> None:
    done = bench(QUICK, "--num-prompts", "3")

    assert done.status == 0, done.err
    assert {body["model"] for body in done.server.bodies} == {"listed"}
    assert all(body["ignore_eos"] for body in done.server.bodies), "they have no natural end"
    assert "made up, with the mean lengths of ShareGPT in OVMS's demo" in done.err


def test_random_prompts_have_the_lengths_of_the_flags() -> None:
    done = bench(
        QUICK, "--model", "m", "--num-prompts", "2", "--random-input-len", "7",
        "--random-output-len", "5", "--no-ignore-eos",
    )  # fmt: skip

    for body in done.server.bodies:
        assert len(body["messages"][0]["content"].split()) == 7
        assert body["max_completion_tokens"] == 5
        assert "ignore_eos" not in body


def test_failed_requests_are_shown_and_change_the_status() -> None:
    done = bench(Script(status=503, body="busy"), "--model", "m", "--num-prompts", "2")

    assert done.status == 1
    assert "Failed requests:                         2 " in done.out
    assert "Failures: refused 0, status 503: 2, cut 0, timeout 0" in done.out
    assert "2 x status 503: busy" in done.out


def test_after_ctrl_c_requests_in_flight_may_end_and_the_results_so_far_are_kept(
    tmp_path: Path,
) -> None:
    async def interrupted(running: Running) -> None:
        await running.until(lambda: running.server.in_flight == 3)
        running.interrupt()
        await running.until(lambda: "3 in flight have 30 s to end" in running.err)
        running.server.everyone.set()

    done = bench(
        QUICK, "--model", "m", "--num-prompts", "9", "--max-concurrency", "3", "--save-result",
        "--result-dir", str(tmp_path), held=99, meanwhile=interrupted,
    )  # fmt: skip

    assert done.status == 130, done.err
    assert "Successful requests:                     3 " in done.out
    assert "Not begun before the run ended: 6" in done.out
    kept = saved(tmp_path)
    assert (kept["ended_by"], kept["completed"], kept["not_started"]) == ("stop", 3, 6)


def test_a_second_ctrl_c_cuts_what_is_in_flight_and_that_is_no_failure(tmp_path: Path) -> None:
    async def interrupted(running: Running) -> None:
        await running.until(lambda: len(running.server.bodies) == 5)
        running.interrupt()
        await running.until(lambda: "(Ctrl-C cuts them)" in running.err)
        running.interrupt()

    done = bench(
        lambda number: QUICK if number < 2 else ENDLESS,
        "--model", "m", "--num-prompts", "9", "--max-concurrency", "3", "--save-result",
        "--result-dir", str(tmp_path), meanwhile=interrupted,
    )  # fmt: skip

    assert done.status == 130, done.err
    assert "Cut by this client when the run ended, and not failed: 3" in done.out
    kept = saved(tmp_path)
    assert (kept["completed"], kept["failed"], kept["stopped"]) == (2, 0, 3)


def test_a_duration_ends_the_run_and_cuts_what_outlives_the_grace() -> None:
    done = bench(
        lambda number: ENDLESS if number == 5 else QUICK,
        "--model", "m", "--duration", "2", "--grace", "0.2", "--max-concurrency", "2",
    )  # fmt: skip

    assert done.status == 0, done.err
    assert len(done.server.bodies) > 6
    assert "Cut by this client when the run ended, and not failed: 1" in done.out
    assert "Failed requests:                         0 " in done.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--dataset-path", "missing.json"], "error: missing.json cannot be read: No such file"),
        (["--duration", "1"], "error: Prompts that repeat at rate inf would all be sent at once"),
        (["--save-result", "--result-dir", "/proc/x"], "error: /proc/x cannot be written: "),
    ],
    ids=["no dataset", "no bound", "no folder"],
)
def test_what_cannot_be_run_is_refused_before_any_request(flags: list[str], said: str) -> None:
    done = bench(QUICK, "--model", "m", *flags)

    assert done.status == 2
    assert said in done.err
    assert done.server.bodies == []


def test_a_server_that_is_not_there_leaves_the_model_unknown() -> None:
    done = bench(QUICK, "--host", "127.0.0.1", "--base-url", "http://127.0.0.1:1")

    assert done.status == 2
    assert "lists no model: no answer" in done.err


def test_without_aiohttp_the_remedy_is_named() -> None:
    program = (
        "import sys; sys.modules['aiohttp'] = None; from bench.__main__ import main; "
        "sys.exit(main([]))"
    )

    async def run() -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, cwd=ROOT, stderr=PIPE
        )
        _, err = await process.communicate()
        return process.returncode, err.decode()

    status, err = asyncio.run(run())

    assert status == 2
    assert "aiohttp is not installed" in err
    assert "Run `make setup-dev`" in err
