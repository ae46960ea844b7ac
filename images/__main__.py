"""Run ``python -m images stage NAME`` from the project's folder: make one build context."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from images.errors import StageError
from images.recipes import IMAGES
from images.stage import stage


def main(argv: Sequence[str]) -> int:
    """
    Do what *argv* asks for; progress goes to stderr, one line of result to stdout.

    Returns:
        The exit code: 0, or 1 with one sentence and its remedy on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m images", description=__doc__)
    actions = parser.add_subparsers(required=True)
    command = actions.add_parser("stage", help="make a build context at .staged/NAME")
    command.add_argument("name", choices=IMAGES)
    name = parser.parse_args(argv).name
    try:
        print(stage(name, Path.cwd()))
    except StageError as error:
        print(f"staging {name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
