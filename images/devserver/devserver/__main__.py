"""Run the development server: ``python3 -m devserver`` with OpenVINO Model Server's flags."""

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from . import NAME, VERSION
from .errors import UsageError
from .flags import Flags, Scheduling, parse_flags
from .generation import Generator

_USAGE = 64
"""EX_USAGE of sysexits.h, which OVMS ends with too."""

_LEVELS = {"TRACE": logging.DEBUG}


def main(argv: Sequence[str]) -> int:
    """
    Serve what *argv* says.

    Returns:
        The exit code: 0 after a signal, ``--help`` or ``--version``; 64 for a wrong flag; 1 for
        what fails later.
    """
    # As process 1 of a container it would otherwise not feel a signal before it serves.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not argv or "--help" in argv or "--version" in argv:
        print(f"{NAME} {VERSION} (not OpenVINO Model Server): takes its flags for text generation")
        return 0
    try:
        flags = parse_flags(argv)
    except UsageError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return _USAGE
    _start_log(flags)
    from .server import run  # after the flags: a wrong one is answered at once

    return run(flags, _load)


def _load(folder: Path, scheduling: Scheduling) -> Generator:
    from .engine import load  # OpenVINO takes a second to import; the port is open by then

    return load(folder, scheduling)


def _start_log(flags: Flags) -> None:
    logging.basicConfig(
        level=_LEVELS.get(flags.log_level, flags.log_level),
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
