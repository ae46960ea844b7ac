"""Runs the steps of a build and shows that it goes on."""

import collections
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from engine.errors import EngineError
from engine.value import say

_HEARTBEAT_S = 15
_LAST_LINES = 15


class Progress:
    """Counts the parts of one build, and the seconds since it began."""

    def __init__(self, *, parts: int, heartbeat_s: float = _HEARTBEAT_S) -> None:
        self._parts = parts
        self._heartbeat_s = heartbeat_s
        self._begun = time.monotonic()
        self._part = 0

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environ: Mapping[str, str],
        then: Callable[[str], None] | None = None,
    ) -> None:
        """
        Build one part; *then* gets what the command printed on its standard output.

        Raises:
            EngineError: the command failed; the message ends with its last lines.
        """
        self._part += 1
        self._say(name)
        with subprocess.Popen(  # noqa: S603 - Go, with arguments of ours
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            close_fds=False,
        ) as process:
            try:
                printed, last, count = self._watch(process, name)
            except BaseException:
                # Only an interrupt from the terminal reaches Go too.
                process.terminate()
                raise
        if process.returncode != 0:
            raise EngineError(
                f"building {name} failed ({' '.join(command[:2])} ended with "
                f"{process.returncode} after {count} lines). Mend what its last lines say, "
                "and run it again; finished parts are not built twice:\n" + "\n".join(last)
            )
        if then is not None:
            then(printed)

    def _watch(
        self, process: "subprocess.Popen[str]", name: str
    ) -> tuple[str, "collections.deque[str]", int]:
        """Say at every heartbeat how many packages Go has compiled, and which one last."""
        log, output = _Log(), _Log(keep=None)
        readers = [
            threading.Thread(target=each.follow, args=(stream,))
            for each, stream in ((log, process.stderr), (output, process.stdout))
        ]
        for reader in readers:
            reader.start()
        while True:
            try:
                process.wait(timeout=self._heartbeat_s)
                break
            except subprocess.TimeoutExpired:
                self._say(f"{name}: {log.count} steps, now {log.last[-1] if log.last else 'Go'}")
        for reader in readers:
            reader.join()
        return "\n".join(output.last), log.last, log.count

    def _say(self, text: str) -> None:
        elapsed = int(time.monotonic() - self._begun)
        say(f"[{self._part}/{self._parts}, {elapsed // 60}:{elapsed % 60:02}] {text}")


class _Log:
    """The last lines of a stream, or all with *keep* None, and how many there were."""

    def __init__(self, *, keep: int | None = _LAST_LINES) -> None:
        self.last: collections.deque[str] = collections.deque(maxlen=keep)
        self.count = 0

    def follow(self, stream: IO[str]) -> None:
        for line in stream:
            self.last.append(line.rstrip())
            self.count += 1
