"""What every way of getting an engine returns."""

import dataclasses
import sys
from pathlib import Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """
    A usable Pulumi engine.

    Attributes:
        how: `path`, `download` or `build`.
        version: of the CLI, such as 3.259.0.
        bin: the folder with `pulumi` and the Python language host.
        plugins: the folder with resource plugins, or None where the user's own is used.
    """

    how: str
    version: str
    bin: Path
    plugins: Path | None


def say(text: str) -> None:
    """Tell the operator something; standard output stays free for what a shell evaluates."""
    sys.stderr.write(f"engine: {text}\n")
    sys.stderr.flush()
