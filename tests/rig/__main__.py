"""Run ``python3 -m tests.rig ACTION``: an emulated host with two sockets, reached over SSH."""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from images.commands import say
from images.errors import StageError
from lifecycle.errors import LifecycleError
from tests.rig import disk, machine, made, tree
from tests.rig.errors import RigError
from tests.rig.place import Place, Running
from tests.rig.topologies import TOPOLOGIES


def main(argv: Sequence[str]) -> int:
    """
    Do what *argv* asks for.

    Returns:
        The exit code: 0, or 1 with what failed on stderr.
    """
    parser = argparse.ArgumentParser(prog="python3 -m tests.rig", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Place().folder, help="keys, disk, state")
    actions = parser.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", help="start it and say how it is reached")
    up.add_argument("--topology", choices=TOPOLOGIES, default="2-nodes")
    up.add_argument("--ssh-port", type=int, default=machine.SSH_PORT)
    up.add_argument("--port", type=int, action="append", help="forwarded; may be given again")
    actions.add_parser("down", help="end it and forget what it wrote")
    capture = actions.add_parser("capture", help="start each topology, and write what it shows")
    capture.add_argument("--topology", choices=TOPOLOGIES, action="append", help="only this one")
    args = parser.parse_args(argv)
    place = Place(args.folder.absolute())
    try:
        if args.action == "up":
            _up(place, args)
        elif args.action == "down":
            machine.stop(place)
        else:
            _capture(place, args.topology or TOPOLOGIES)
    except (RigError, StageError, LifecycleError, OSError) as error:
        print(f"rig: {error}", file=sys.stderr)
        return 1
    return 0


def _up(place: Place, args: argparse.Namespace) -> None:
    plan = machine.Plan(
        topology=args.topology,
        disk=disk.stocked(),
        ssh_port=args.ssh_port,
        ports=tuple(args.port or machine.PORTS),
    )
    print(_reached(place, _started(place, plan)))


def _capture(place: Place, topologies: Iterable[str]) -> None:
    for topology in topologies:
        # A disk without images starts sooner.
        plan = machine.Plan(
            topology=topology, disk=made.guest().disk, ssh_port=machine.free_port(), ports=()
        )
        running = _started(place, plan)
        try:
            tree.write(place, running)
        finally:
            machine.stop(place)


def _started(place: Place, plan: machine.Plan) -> Running:
    started = time.monotonic()
    running = machine.start(place, plan)
    say(f"rig: {running.topology} is ready after {time.monotonic() - started:.1f} s")
    return running


def _reached(place: Place, running: Running) -> str:
    host = place.host(running)
    return "\n".join(
        (
            f"docker:        {host.where.docker}",
            f"known_hosts:   {place.known_hosts}",
            f"identity:      {place.identity}",
            f"agent:         export SSH_AUTH_SOCK={place.agent}",
            f"root (tests):  ssh -i {place.administrator} -p {running.ssh_port} "
            f"-o UserKnownHostsFile={place.known_hosts} root@127.0.0.1",
            f"forwarded:     {', '.join(f'127.0.0.1:{port}' for port in running.ports)}",
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
