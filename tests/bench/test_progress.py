"""How far a run is, on a terminal and elsewhere."""

import asyncio
import io

import pytest

from bench import progress as progress_module
from bench.progress import Progress
from bench.record import End
from tests.bench.loads import failed, record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def half_way(out: io.StringIO, planned: int | None = 4) -> Progress:
    """Three of four are begun; one ended well, and one failed."""
    progress = Progress(planned, out)
    for _ in range(3):
        progress.started()
    progress.ended(record())
    progress.ended(failed(End.CUT))
    return progress


async def shown(progress: Progress) -> None:
    showing = asyncio.create_task(progress.show())
    await asyncio.sleep(0.2)
    showing.cancel()
    await asyncio.gather(showing, return_exceptions=True)


def test_a_line_counts_what_ended_failed_and_is_in_flight() -> None:
    line = half_way(io.StringIO()).line(12.4)

    assert line == "2 of 4 ended, 1 failed, 1 in flight, 12 s"


def test_a_terminal_has_a_bar_of_what_ended() -> None:
    assert half_way(Terminal()).line(0).startswith(f"[{'#' * 12}{' ' * 12}] 2 of 4 ended")


def test_without_a_number_there_is_nothing_to_be_part_of() -> None:
    assert half_way(Terminal(), None).line(0) == "2 ended, 1 failed, 1 in flight, 0 s"


def test_a_terminal_s_line_is_written_over_and_left_with_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress_module, "_TERMINAL_S", 0.01)
    out = Terminal()

    asyncio.run(shown(half_way(out)))

    assert out.getvalue().count("\r") >= 2
    assert out.getvalue().count("\n") == 1
    assert " 1 in flight, " in out.getvalue().splitlines()[-1]


def test_elsewhere_there_are_lines_and_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom, often = io.StringIO(), io.StringIO()

    asyncio.run(shown(half_way(seldom)))
    monkeypatch.setattr(progress_module, "_PLAIN_S", 0.01)
    asyncio.run(shown(half_way(often)))

    assert seldom.getvalue() == ""
    lines = often.getvalue().splitlines()
    assert lines
    assert all(line.startswith("2 of 4 ended, 1 failed, 1 in flight, ") for line in lines)


def test_a_note_stands_in_a_line_of_its_own() -> None:
    out = Terminal()

    half_way(out).note("stopping")

    assert out.getvalue().endswith("stopping\n")
