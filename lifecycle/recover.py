"""
``python -m lifecycle.recover --stack NAME``: the one step between a killed run and the next.

A run that is killed (SIGKILL) leaves a lock, half-written files, operations begun and not
recorded, plugins that still run, and things in Docker that the state does not know. This takes
them away, and nothing else: what the state knows stays as it is, and the next ``pulumi up`` goes
on from there. Needs `pulumi` on PATH. Standard output says what was done, one line each. Exit
status: 0 recovered, or nothing to recover; 1 refused or failed.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import yaml

from lifecycle import (
    recover_docker,
    recover_files,
    recover_locks,
    recover_processes,
    recover_state,
)
from lifecycle.errors import LifecycleError, UnreachableError
from planner.labels import STATE, stack_labels

Say = Callable[[str], None]


def main(argv: list[str]) -> int:
    """Recover the stack named in *argv*; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lifecycle.recover", description=__doc__)
    parser.add_argument("--stack", required=True, help="the stack whose run was killed")
    stack = parser.parse_args(argv).stack
    done: list[str] = []

    def say(line: str) -> None:
        done.append(line)
        print(f"{stack}: {line}", flush=True)

    try:
        recover(stack, Path.cwd(), say)
    except LifecycleError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{stack}: {'recovered; `make up` goes on' if done else 'nothing to recover'}")
    return 0


def recover(stack: str, folder: Path, say: Say) -> None:
    """
    Take away what a killed run of *stack* left.

    Args:
        stack: the stack's name.
        folder: the project's folder.
        say: told each thing that was done.

    Raises:
        LifecycleError: a run of the stack may still live, or a step failed. What was done until
            then is right, and running this again does the rest.
    """
    project = str(yaml.safe_load((folder / "Pulumi.yaml").read_text())["name"])
    told = os.environ.get("PULUMI_BACKEND_URL")
    files = recover_files.stack_files(told or recover_state.backend_url(stack), project, stack)
    dead = recover_locks.dead_locks(files.locks, stack) if files else ()
    orphans = recover_processes.orphans(project, folder, told)
    recover_processes.end(orphans)
    for orphan in orphans:
        say(f"ended process {orphan.pid}, {orphan.name()}, whose run is gone")
    for lock in dead:
        lock.remove()
        say(f"removed the lock of process {lock.pid}, which is gone")
    if files:
        with recover_locks.held(files.locks, stack):
            files.mend(say)
    pending = _clear_pending(stack, say, always=files is None)
    with recover_locks.held(files.locks, stack) if files else nullcontext():
        killed = bool(dead or orphans or pending)
        _remove_leftovers(project, stack, say, settle=killed)


def _clear_pending(stack: str, say: Say, *, always: bool) -> tuple[str, ...]:
    """
    Clear the operations that were begun and not recorded, and return them.

    Args:
        stack: the stack's name.
        say: told each of them.
        always: write the state even when nothing is pending. Where the locks are no files, the
            CLI's refusal is all that tells of a run that still lives.
    """
    state = recover_state.export_state(stack)
    pending = state.pending()
    if pending or always:
        try:
            recover_state.import_state(stack, state.without_pending())
        except LifecycleError as error:
            raise _locked_elsewhere(stack, error) if always else error from None
    for operation in pending:
        say(f"cleared the pending operation: {operation}")
    return pending


def _locked_elsewhere(stack: str, error: LifecycleError) -> LifecycleError:
    return LifecycleError(
        subject=stack,
        step=error.step,
        seen=error.seen,
        remedy="the locks of this backend are no files, so a dead one is not told from a living "
        f"one: when no run of the stack lives any more, run `pulumi cancel --stack {stack}` and "
        "then this again",
    )


def _remove_leftovers(project: str, stack: str, say: Say, *, settle: bool) -> None:
    state = recover_state.export_state(stack)
    state_id = state.state_id()
    if state_id is None:
        return  # whatever carries a state's label waits for that label's value
    own = {**stack_labels(project, stack.rpartition("/")[2]), STATE: state_id}
    labels = tuple(f"{key}={value}" for key, value in own.items())
    unreached = []
    for host in state.docker_hosts().values():
        try:
            recover_docker.remove_leftovers(host, labels, state, say, settle=settle)
        except UnreachableError as error:
            unreached.append(error)
    if unreached:
        raise unreached[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
