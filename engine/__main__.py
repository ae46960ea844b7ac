"""`python3 -m engine ensure | env | docker`."""

import argparse
import os
import pwd
import sys
from pathlib import Path

from engine import choose, docker_engine, environment
from engine.errors import EngineError
from engine.value import say

_PROJECT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Run one action; its refusal is one message and exit code 1."""
    parser = argparse.ArgumentParser(prog="python3 -m engine", description=__doc__)
    actions = {"ensure": _ensure, "env": _env, "docker": _docker}
    parser.add_argument("action", choices=actions)
    action = actions[parser.parse_args(arguments).action]
    try:
        action()
    except EngineError as refusal:
        say(str(refusal))
        return 1
    except OSError as fault:
        say(f"{fault}. Make room or give access there, or set XDG_CACHE_HOME to another folder")
        return 1
    except KeyboardInterrupt:
        say("interrupted; run it again, and it goes on where it was")
        return 130
    return 0


def _ensure() -> None:
    """Get a Pulumi engine."""
    engine = choose.ensure(os.environ)
    say(f"{engine.how}: pulumi {engine.version} in {engine.bin}")


def _env() -> None:
    """Print what puts it on a shell's PATH."""
    engine = choose.ensure(os.environ)
    user = Path(pwd.getpwuid(os.getuid()).pw_dir)
    for line in environment.lines(engine, _PROJECT, os.environ, user=user):
        print(line)


def _docker() -> None:
    """Get a Docker engine."""
    docker_engine.ensure(os.environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
