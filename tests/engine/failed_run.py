"""What a run of the command line says of an activation that failed."""

import re
from pathlib import Path

from tests.engine.stack import Run

_GOLDEN = Path(__file__).parents[1] / "data" / "failed_activation"
_LOG = re.compile(r"(Its last log lines:\n)((?:.*\n)+?)(?=What to do)")


def golden(name: str) -> str:
    """The message as agreed."""
    return (_GOLDEN / f"{name}.txt").read_text()


def message(run: Run) -> str:
    """The failed step's message, without the server's log and what differs from run to run."""
    return re.sub(r"[0-9a-f]{64}", "(id)", _LOG.sub(r"\1(log)\n", _told(run)))


def log_lines(run: Run) -> list[str]:
    """The lines of the server's log in that message."""
    found = _LOG.search(_told(run))
    return found[2].splitlines() if found else []


def _told(run: Run) -> str:
    lines = [line.strip() for line in run.output.splitlines()]
    begin = next(n for n, line in enumerate(lines) if re.match(r"local-node0-\d: .+: .+\.$", line))
    end = next(n for n in range(begin, len(lines)) if lines[n].startswith("What to do:"))
    return "\n".join(lines[begin : end + 1]) + "\n"
