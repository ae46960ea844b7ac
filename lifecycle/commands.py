"""The operator's commands on a stack: status, logs, requests, cordon, uncordon; and capture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from lifecycle.stack_file import StackFile

_OF_A_STACK = ("status", "logs", "requests", "cordon", "uncordon")
NAMES = (*_OF_A_STACK, "capture")


class Answer(NamedTuple):
    """What a command prints, and its exit status."""

    text: str
    exit_status: int = 0


def add_parsers(actions: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of the command line."""
    words = {
        "status": "show what runs where, and what is wrong; exit status 1 where something is",
        "logs": "print the last lines of an instance, of the balancer, or of all",
        "requests": "sum up what the balancer answered, by instance",
        "cordon": "close an instance for requests and keep it closed",
        "uncordon": "let a cordoned instance serve again",
    }
    parsers = {name: actions.add_parser(name, help=words[name]) for name in _OF_A_STACK}
    for parser in parsers.values():
        parser.add_argument("stack_file", type=Path, help="such as Pulumi.dev.yaml")
    for name in ("logs", "cordon", "uncordon"):
        parsers[name].add_argument(
            "--instance", default="", help="such as local-node0-0; `make status` lists them"
        )
    parsers["logs"].add_argument("--lines", type=int, default=20, help="of each; default: 20")
    parsers["requests"].add_argument(
        "--since", default="", help="such as 10m; default: as far as the balancer's log goes"
    )
    parsers["cordon"].add_argument(
        "--force", action="store_true", help="also the last one that is open"
    )
    capture = actions.add_parser("capture", help="write a host's topology into hosts/NAME.json")
    capture.add_argument("name", help="of the file, without .json")
    capture.add_argument("--host", default="", help="ssh://USER@HOST[:PORT]; default: this machine")
    capture.add_argument(
        "--known-hosts",
        default="",
        help="the only file whose host keys are trusted; default: those of your OpenSSH client",
    )
    capture.add_argument("--host-key", default="", help="the only key trusted: TYPE BASE64")


def run(arguments: argparse.Namespace) -> Answer:
    """
    Run the command in *arguments*.

    Raises:
        PlanError: the stack file or an argument has faults, or the topology cannot be told.
        LifecycleError: the command could not be done.
    """
    if arguments.action == "capture":
        from lifecycle.capture import capture

        return Answer(
            capture(
                arguments.name,
                url=arguments.host,
                known_hosts=arguments.known_hosts,
                host_key=arguments.host_key,
            )
        )
    from lifecycle.docker_failure import speaking_with
    from lifecycle.stack_file import read_stack_file

    stack = read_stack_file(arguments.stack_file)
    step = f"`make {arguments.action}`"
    hosts = " or ".join(where.docker for where in stack.hosts.values())
    with speaking_with(hosts, step=step, subject=stack.name, again="this"):
        return _run(arguments, stack)


def _run(arguments: argparse.Namespace, stack: "StackFile") -> Answer:
    if arguments.action == "status":
        from lifecycle.status import look

        status = look(stack)
        return Answer(status.render(), 0 if status.is_well else 1)
    if arguments.action == "logs":
        from lifecycle.logs import last_logs

        return Answer(last_logs(stack, arguments.instance, arguments.lines))
    if arguments.action == "requests":
        from lifecycle.traffic import traffic

        return Answer(traffic(stack, arguments.since))
    from lifecycle import cordon

    if arguments.action == "cordon":
        return Answer(cordon.cordon(stack, arguments.instance, force=arguments.force))
    return Answer(cordon.uncordon(stack, arguments.instance))
