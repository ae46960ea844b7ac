"""
``python -m lifecycle.forget --stack NAME --host HOST``: take a dead host out of a stack.

Its instances are taken out of the balancer and everything of it out of the state, so that the
other hosts can be updated and removed again. Nothing is asked of the host itself. Needs `pulumi`
on PATH. Standard output says what was done, one line each. Exit status: 0 done; 1 refused or
failed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lifecycle import (
    balancer_config,
    docker_host,
    forget_state,
    member,
    recover_files,
    recover_locks,
    recover_state,
)
from lifecycle.docker_failure import speaking_with
from lifecycle.errors import CutOffError, LifecycleError, UnreachableError
from lifecycle.reach import reach
from lifecycle.spec import Activation
from planner.where import Where

# A login that was dropped (MaxStartups), a Docker that starts: what lives answers after this.
_AGAIN_AFTER_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Makes errors about one host of one stack."""

    stack: str
    host: str

    def __call__(self, seen: str, remedy: str) -> LifecycleError:
        step = f"forgetting the host {self.host!r}"
        return LifecycleError(subject=self.stack, step=step, seen=seen, remedy=remedy)


def main(argv: list[str]) -> int:
    """Forget the host named in *argv*; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.forget", description=__doc__)
    parser.add_argument("--stack", required=True, help="the stack that has the host")
    parser.add_argument("--host", required=True, help="its name in the stack's settings")
    arguments = parser.parse_args(argv)
    if not arguments.host:
        print("no host is named: say HOST=NAME, as the stack's settings have it", file=sys.stderr)
        return 1

    def say(line: str) -> None:
        print(f"{arguments.stack}: {line}", flush=True)

    try:
        forget(arguments.stack, arguments.host, Path.cwd(), say)
    except LifecycleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def forget(stack: str, host: str, folder: Path, say: Say) -> None:
    """
    Take *host* out of the balancer and the state of *stack*.

    Args:
        stack: the stack's name.
        host: the host's name in the settings.
        folder: the project's folder.
        say: told each thing that was done.

    Raises:
        LifecycleError: the state has no such host, it has the balancer, it answers, a run of the
            stack lives or was killed, or the balancer or the state could not be changed, the state
            also as a run changed it meanwhile. Running this again does what is left.
    """
    refusal = _Refusal(stack, host)
    _refuse_runs(stack, folder, refusal)
    state = recover_state.export_state(stack)
    its = _part_of(state, refusal)
    _refuse_living(its.where, refusal)
    if its.activations:
        _close(its.activations, say)
    if recover_state.export_state(stack) != state:
        raise refusal(
            "a run changed the state meanwhile, and what it did would be lost",
            "wait for its end, then run this again",
        )
    recover_state.import_state(stack, forget_state.without(state, its.urns))
    say(f"took {len(its.urns)} resources of {host} out of the state")
    if _is_set(folder / f"Pulumi.{stack.rpartition('/')[2]}.yaml", host):
        say(f"{host} is still in the stack's settings: take it out, or `make up` makes it again")


def _part_of(state: recover_state.State, refusal: _Refusal) -> forget_state.HostPart:
    """Return what *state* has of the host, where that can be forgotten."""
    if pending := state.pending():
        raise refusal(
            f"a run was killed while {' and '.join(pending)}",
            f"run `make recover STACK={refusal.stack}`",
        )
    its = forget_state.of_host(state, refusal.host)
    if its is None:
        there = ", ".join(state.docker_hosts()) or "none"
        raise refusal(
            f"the state has no such host; it has {there}",
            f"name one of them with HOST=NAME STACK={refusal.stack}",
        )
    if its.has_balancer:
        raise refusal(
            "the balancer runs there, and without it nothing serves",
            "set balancer.host to another host and run `make up`, which needs both; where this one "
            f"is lost, run `pulumi stack rm {refusal.stack} --force --preserve-config --yes`, "
            'remove what the stack has on the others (docs/operations.md, "A lost state"), and run '
            f"`make up STACK={refusal.stack}` without it",
        )
    return its


def _refuse_runs(stack: str, folder: Path, refusal: _Refusal) -> None:
    project = str(yaml.safe_load((folder / "Pulumi.yaml").read_text())["name"])
    backend = os.environ.get("PULUMI_BACKEND_URL") or recover_state.backend_url(stack)
    files = recover_files.stack_files(backend, project, stack)
    if files and (dead := recover_locks.dead_locks(files.locks, stack)):
        raise refusal(
            f"process {dead[0].pid}, which is gone, left a lock",
            f"run `make recover STACK={stack}`",
        )


def _refuse_living(where: Where, refusal: _Refusal) -> None:
    """Ask the host twice, as one that is taken for dead gets no requests any more."""
    if not _answers(where, refusal):
        time.sleep(_AGAIN_AFTER_S)
        if not _answers(where, refusal):
            return
    raise refusal(
        f"its Docker engine answers at {where.docker}",
        f"take {refusal.host} out of the stack's settings and run `make up STACK={refusal.stack}`, "
        "which drains its instances and removes everything of it",
    )


def _answers(where: Where, refusal: _Refusal) -> bool:
    try:
        reach(where, timeout_s=10)
    except CutOffError as error:
        raise refusal(
            f"it may well live, as the fault is on this machine: {error.seen}", error.remedy
        ) from None
    except UnreachableError:
        return False
    return True


def _close(activations: Sequence[Activation], say: Say) -> None:
    """Take instances out of the balancer, all in one reload."""
    names = sorted(one.instance for one in activations)
    paths = [path(name) for name in names for path in (member.member_path, member.cordon_path)]
    balancer = activations[0].balancer
    where = balancer.elsewhere or activations[0].where
    with speaking_with(where.docker, step="closing its instances", again="this"):
        link = reach(where)
        if docker_host.find(link.client, balancer.container) is None:
            say("there is no balancer to take its instances out of")
            return
        balancer_config.change(link, balancer, {}, remove=tuple(paths))
    say(f"took {', '.join(names)} out of the balancer")


def _is_set(file: Path, host: str) -> bool:
    """Tell whether the stack file *file* names *host*; the file may lie elsewhere."""
    if not file.is_file():
        return False
    settings: Mapping[str, object] = yaml.safe_load(file.read_text()).get("config") or {}
    for key, value in settings.items():
        if key.endswith(":settings") and isinstance(value, Mapping):
            return host in (value.get("hosts") or {})
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
