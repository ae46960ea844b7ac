"""How far a run is: a bar on a terminal, else a line now and then."""

import asyncio
from typing import TextIO

from bench.record import Record

_BAR = 24
_TERMINAL_S, _PLAIN_S = 0.25, 10
# Back to the line's beginning, and nothing of what was there.
_OVER = "\r\x1b[2K"


class Progress:
    """Counts the requests of one run, of *planned* or without a number, and shows them on *out*."""

    def __init__(self, planned: int | None, out: TextIO) -> None:
        self._planned, self._out, self._terminal = planned, out, out.isatty()
        self._started = self._ended = self._failed = 0

    def started(self) -> None:
        """Count one more that is begun."""
        self._started += 1

    def ended(self, record: Record) -> None:
        """Count one more that ended."""
        self._ended += 1
        self._failed += record.failed

    def line(self, elapsed_s: float) -> str:
        """Return how far it is after so many seconds."""
        of = "" if self._planned is None else f" of {self._planned}"
        counts = (
            f"{self._ended}{of} ended, {self._failed} failed, "
            f"{self._started - self._ended} in flight, {elapsed_s:.0f} s"
        )
        return f"{self._bar()}{counts}" if self._terminal else counts

    async def show(self) -> None:
        """Show it until cancelled."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            while True:
                await asyncio.sleep(_TERMINAL_S if self._terminal else _PLAIN_S)
                self._write(self.line(loop.time() - began))
        finally:
            if self._terminal:
                self._write(self.line(loop.time() - began))
                print(file=self._out)

    def note(self, text: str) -> None:
        """Write a line of its own."""
        print(f"{_OVER if self._terminal else ''}{text}", file=self._out, flush=True)

    def _write(self, text: str) -> None:
        before, after = (_OVER, "") if self._terminal else ("", "\n")
        print(f"{before}{text}", end=after, file=self._out, flush=True)

    def _bar(self) -> str:
        if self._planned is None:
            return ""
        full = _BAR * self._ended // self._planned
        return f"[{'#' * full}{' ' * (_BAR - full)}] "
