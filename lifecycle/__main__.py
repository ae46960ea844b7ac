"""
``python -m lifecycle ACTION``: one action on a host.

The actions that change a host (activate, drain, push, prepare) read a JSON spec from standard
input and print one JSON object. Progress goes to standard error, results to standard output.
The operator's commands (status, logs, requests, cordon, uncordon, capture) print text; all but
capture take a stack file, as `ask` does.
Exit status: 0 done, 1 the action failed, or `status` saw something wrong.
"""

import argparse
import json
import shlex
import signal
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from lifecycle import commands
from lifecycle.errors import LifecycleError
from planner.errors import PlanError


def main(argv: list[str]) -> int:
    """Run the action named in *argv*; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        result = _run(arguments)
    except (LifecycleError, PlanError) as error:
        print(error, file=sys.stderr)
        return 1
    except ValidationError as error:
        print(
            f"the spec on standard input is not one of {arguments.action}: {error}", file=sys.stderr
        )
        return 1
    if isinstance(result, commands.Answer):
        print(result.text)
        return result.exit_status
    print(result if isinstance(result, str) else json.dumps(result, sort_keys=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lifecycle", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("activate", "drain", "push", "prepare", "identity"):
        actions.add_parser(name, help="run by the stack, with a JSON spec on standard input")
    probe = actions.add_parser("probe", help="print the topology of a host as JSON")
    probe.add_argument(
        "--sysroot",
        type=Path,
        help="a captured tree; what it does not say is null, and named on standard error",
    )
    ask = actions.add_parser("ask", help="print a curl line and the answer of a served stack")
    ask.add_argument("stack_file", type=Path, help="such as Pulumi.dev.yaml")
    ask.add_argument("endpoint")
    ask.add_argument("question")
    commands.add_parsers(actions)
    return parser


def _run(arguments: argparse.Namespace) -> object:
    # Each action imports what it needs: a probe at program start should not pay for the rest.
    if arguments.action == "probe":
        return _probe(arguments.sysroot)
    if arguments.action == "identity":
        return uuid.uuid4().hex
    if arguments.action == "ask":
        return _ask(arguments.stack_file, arguments.endpoint, arguments.question)
    if arguments.action in commands.NAMES:
        return commands.run(arguments)
    return _act(arguments.action, sys.stdin.read())


def _probe(sysroot: Path | None) -> dict[str, object]:
    from lifecycle.probe import describe_tree, probe_topology

    if sysroot is None:
        return probe_topology().to_json()
    form, unsaid = describe_tree(sysroot)
    for sentence in unsaid:
        print(sentence, file=sys.stderr)
    return form


def _ask(stack_file: Path, endpoint: str, question: str) -> str:
    from lifecycle.ask import ask, first_model, request_body, way_to_balancer
    from lifecycle.stack_file import read_stack_file

    stack = read_stack_file(stack_file)
    host = stack.hosts[stack.settings.balancer_host].docker
    connect = way_to_balancer(stack)
    model = first_model(endpoint, connect)
    return (
        f"Ask it yourself{'' if host.startswith('unix://') else f', on {host}'}:\n"
        f"  curl -s {endpoint}/chat/completions "
        f"-H 'Content-Type: application/json' -d {shlex.quote(request_body(model, question))}\n"
        f"Q: {question}\nA: {ask(endpoint, model, question, connect)}"
    )


def _act(action: str, text: str) -> dict[str, object]:
    from lifecycle import spec as specs
    from lifecycle.docker_failure import speaking_with

    if action == "prepare":
        from lifecycle.prepare import prepare

        model = specs.Prepare.model_validate_json(text)
        with speaking_with(model.docker, step="preparing the model", subject=model.volume):
            return prepare(model, _progress(model.volume))
    if action == "push":
        from lifecycle.push import push

        configuration = specs.Push.model_validate_json(text)
        subject, step = configuration.balancer.container, "loading the balancer's configuration"
        with speaking_with(configuration.docker, step=step, subject=subject):
            return push(configuration, _progress(subject))

    from lifecycle.activate import activate
    from lifecycle.drain import drain

    instance = specs.Activation.model_validate_json(text)
    act, step = (
        (activate, "bringing it into service")
        if action == "activate"
        else (drain, "taking it out of service")
    )
    with speaking_with(instance.docker, step=step, subject=instance.instance):
        return act(instance, _progress(instance.instance))


def _progress(subject: str) -> Callable[[str], None]:
    def say(message: str) -> None:
        print(f"{subject}: {message}", file=sys.stderr, flush=True)

    return say


def _end(*_: object) -> None:
    """End as an interrupted program does, so that what was begun is cleaned up."""
    sys.exit(143)


if __name__ == "__main__":
    # The engine's cancel; Python itself would die of it on the spot.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main(sys.argv[1:]))
