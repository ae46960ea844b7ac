"""The operator's commands on a stack, and what a table or the clients show of it."""

import re
import subprocess
import sys
from dataclasses import dataclass

from tests.engine.load import Load, clients, wait_until
from tests.engine.stack import ROOT, Stack
from tests.engine.test_up import INSTANCES, MODEL

FIRST, SECOND = INSTANCES
UPSTREAMS = {FIRST: ".16:8000", SECOND: ".18:8002"}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    status: int
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Operator:
    """Runs commands on a stack, as the Makefile does."""

    stack: Stack

    def __call__(self, command: str, *arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lifecycle", command, self._stack_file(), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _stack_file(self) -> str:
        """The stack's file under the name that tells the stack's, beside the project's."""
        folder = self.stack.folder
        file = folder / f"Pulumi.{self.stack.name}.yaml"
        if not file.exists():
            file.symlink_to(folder / "stack.yaml")
            (folder / "Pulumi.yaml").symlink_to(ROOT / "Pulumi.yaml")
        return str(file)


def run_module(stack: Stack, module: str, *arguments: str) -> Done:
    """Run a module that needs the stack's state, as the Makefile does."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def table_rows(output: str) -> dict[str, list[str]]:
    """The cells of a table's rows by their first."""
    # Make may say something before, such as that it installs a package.
    table = output[output.index("instance ") :].split("\n\n", 1)[0].splitlines()[1:]
    return {row[0]: row for row in (re.split(r"\s{2,}", line) for line in table)}


def answered_by(load: Load) -> set[str]:
    return {name for name, end in UPSTREAMS.items() for at in load.answers if at.endswith(end)}


def asked(endpoint: str, *, model: str = MODEL, count: int = 6) -> Load:
    """Ask until *count* answers came, or a failure."""
    with clients(endpoint, model, count=3) as load:
        wait_until(lambda: sum(load.answers.values()) >= count or bool(load.failures))
    return load
