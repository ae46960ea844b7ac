"""
A stack's state, as the Pulumi CLI exports and imports it.

The format is that of ``pulumi stack export``: `deployment.resources` (each with `urn`, `type`,
`id`, `inputs`, `outputs`) and `deployment.pending_operations`, what a run had begun and not
recorded as done. Secrets in it stay encrypted.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.errors import LifecycleError
from planner.where import Where

# A backend far away takes seconds; one that never answers would hold up whoever recovers.
_WITHIN_S = 300.0

_STATE_ID = "state-id"
DOCKER_PROVIDER = "pulumi:providers:docker"
HOST_PREFIX = "docker-"
"""What the name of a host's Docker provider begins with."""
_KINDS = {
    "docker:index/container:Container": "container",
    "docker:index/network:Network": "network",
    "docker:index/volume:Volume": "volume",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A stack's exported state."""

    export: dict[str, Any]

    def pending(self) -> tuple[str, ...]:
        """Return what was begun and not recorded as done, such as ``creating balancer``."""
        operations = self.export["deployment"].get("pending_operations") or []
        return tuple(f"{one['type']} {name_of(one['resource'])}" for one in operations)

    def without_pending(self) -> "State":
        """Return the same state with nothing pending."""
        deployment = {**self.export["deployment"], "pending_operations": []}
        return State(export={**self.export, "deployment": deployment})

    def state_id(self) -> str | None:
        """Return the id in the labels of all that this state made, or none before it is made."""
        for one in self.resources():
            if name_of(one) == _STATE_ID:
                found = (one.get("outputs") or {}).get("stdout")
                return found if isinstance(found, str) and found else None
        return None

    def docker_hosts(self) -> dict[str, Where]:
        """Return the hosts that the state has a Docker provider for, by their names in settings."""
        providers = {
            name_of(one).removeprefix(HOST_PREFIX): one.get("inputs") or {}
            for one in self.resources()
            if one["type"] == DOCKER_PROVIDER
        }
        return {
            # A provider's inputs that are no texts are kept as their JSON.
            name: Where.of_options(its["host"], json.loads(its.get("sshOpts") or "[]")).model_copy(
                update={"tls": its.get("certPath") or None}
            )
            for name, its in sorted(providers.items())
            if isinstance(its.get("host"), str)
        }

    def known(self, kind: str) -> frozenset[str]:
        """
        Return the ids of what the state has in Docker; of a volume the id is its name.

        What is marked as deleted before its replacement is gone, and not among them.

        Args:
            kind: ``container``, ``network`` or ``volume``.
        """
        return frozenset(
            one["id"]
            for one in self.resources()
            if _KINDS.get(one["type"]) == kind
            and one.get("id")
            and not one.get("pendingReplacement")
        )

    def resources(self) -> list[dict[str, Any]]:
        """Return all resources, each behind what it depends on."""
        return self.export["deployment"].get("resources") or []


def name_of(resource: Mapping[str, Any]) -> str:
    """Return the name that a resource was declared with."""
    return str(resource["urn"]).rpartition("::")[2]


def export_state(stack: str) -> State:
    """
    Read the state of *stack*.

    Raises:
        LifecycleError: the CLI cannot.
    """
    return State(export=json.loads(_pulumi(stack, "reading its state", "stack", "export")))


def import_state(stack: str, state: State) -> None:
    """
    Write the state of *stack*; refused by the CLI while a run holds its lock.

    Raises:
        LifecycleError: the CLI cannot.
    """
    _pulumi(stack, "writing its state", "stack", "import", text=json.dumps(state.export))


def backend_url(stack: str) -> str:
    """
    Return where the CLI keeps the states, such as ``file:///srv/state``.

    Raises:
        LifecycleError: the CLI cannot tell.
    """
    answer = json.loads(_pulumi(None, f"finding the backend of {stack}", "whoami", "--json"))
    return str(answer["url"])


def _pulumi(stack: str | None, step: str, *arguments: str, text: str | None = None) -> str:
    found = shutil.which("pulumi")
    if found is None:
        raise LifecycleError(
            subject=stack or "pulumi",
            step=step,
            seen="there is no `pulumi` on PATH",
            remedy="run `make recover`, which knows where it is, or "
            '`eval "$(make -s env)"` in this shell first',
        )
    named = ("--stack", stack) if stack else ()
    try:
        run = subprocess.run(  # noqa: S603 - the CLI, with a stack's name
            [found, *arguments, *named, "--non-interactive"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        raise LifecycleError(
            subject=stack or "pulumi",
            step=step,
            seen=f"`pulumi {' '.join(arguments)}` did not end within {_WITHIN_S:g} s",
            remedy="see that the backend answers (`pulumi whoami --verbose` names it), then run "
            "this again",
        ) from None
    if run.returncode != 0:
        raise LifecycleError(
            subject=stack or "pulumi",
            step=step,
            seen=_last_error(run.stderr)
            or f"`pulumi {' '.join(arguments)}` exited with status {run.returncode}",
            remedy="correct what the message names (`pulumi stack ls` lists the stacks; a lock: "
            "wait for its run, or `pulumi cancel` if that is surely gone), then run this again",
        )
    return run.stdout


def _last_error(stderr: str) -> str:
    """Return the CLI's own sentence: from its `error:` on, in one line."""
    text = stderr.rpartition("error: ")[2]
    return " ".join(text.split()).rstrip(".")
