"""A program ``ssh`` that does what a test says, first on PATH."""

from pathlib import Path

import pytest


class ScriptedSsh:
    """
    Stands for an OpenSSH client.

    Its script reads the program for the host on standard input; `argv` is how it was called.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._program = folder / "ssh"
        self._called = folder / "argv"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv("PATH", str(folder), prepend=":")

    def does(self, script: str) -> None:
        """Let it run *script*, for ``sh``."""
        keep = f"printf '%s\\n' \"$@\" >'{self._called}'"
        self._program.write_text(f"#!/bin/sh\n{keep}\n{script}\n")
        self._program.chmod(0o755)

    def fails(self, errors: str, status: int = 255) -> None:
        """Let it print *errors* and end with *status*."""
        self.does(f"cat >/dev/null\ncat >&2 <<'END'\n{errors}\nEND\nexit {status}")

    def is_host(self, root: Path, shell: str = "sh") -> None:
        """Let it run the program as a host whose root directory is *root*."""
        self.does(f"sed 's|^cd /$|cd {root}|' | {shell}")

    @property
    def argv(self) -> list[str]:
        return self._called.read_text().splitlines()
