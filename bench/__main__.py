"""``python -m bench``: load a server and measure it; `--help` has the flags."""

import sys
from collections.abc import Sequence

from bench.flags import parse


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; return the process's exit status, as `bench.command` has it."""
    flags = parse(argv)
    try:
        # Here, as nothing else at run time needs aiohttp.
        from bench.command import command
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        print(
            "error: aiohttp is not installed, and the load client needs it; the program itself "
            "does not. Run `make setup-dev`, which installs requirements-dev.txt into venv.",
            file=sys.stderr,
        )
        return 2
    return command(flags)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
