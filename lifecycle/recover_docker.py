"""What a killed run made in Docker and did not record."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import docker
from docker.errors import APIError, NotFound

from lifecycle.docker_failure import speaking_with
from lifecycle.errors import LifecycleError
from lifecycle.reach import Where, reach
from lifecycle.recover_state import State

SETTLE_S = 1.0
"""Docker finishes what a client asked for that is gone; so long a removal is watched for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something in Docker that carries a state's labels and is not in that state."""

    kind: str
    name: str
    remove: Callable[[], None]


def remove_leftovers(
    host: Where, labels: tuple[str, ...], state: State, say: Callable[[str], None], *, settle: bool
) -> None:
    """
    Remove what carries *labels* at the engine *host* and is not in *state*.

    Args:
        host: where a Docker engine is.
        labels: of project, stack and state id, each as ``key=value``; only what carries all.
        state: what is kept.
        say: told each removal.
        settle: look again until nothing more appears for a while, as after a run that was
            killed while Docker worked for it.

    Raises:
        LifecycleError: no engine answers, or it refuses a removal.
    """
    client = reach(host).client
    while True:
        with speaking_with(host.docker, step="looking for what is left", again="this"):
            found = list(_leftovers(client, list(labels), state))
        for one in found:
            _remove(one, say)
        if not settle:
            return
        if not found:
            settle = False
        time.sleep(SETTLE_S)


def _leftovers(client: docker.DockerClient, labels: list[str], state: State) -> Iterator[Leftover]:
    """Yield containers before the networks and volumes that they use."""
    for container in client.containers.list(
        all=True, filters={"label": labels}, ignore_removed=True
    ):
        if container.id not in state.known("container"):
            remove = _bound(container.remove, force=True, v=True)
            yield Leftover(kind="container", name=str(container.name), remove=remove)
    for network in client.networks.list(filters={"label": labels}):
        if network.id not in state.known("network"):
            yield Leftover(kind="network", name=str(network.name), remove=network.remove)
    for volume in client.volumes.list(filters={"label": labels}):
        if volume.name not in state.known("volume"):
            yield Leftover(kind="volume", name=str(volume.name), remove=volume.remove)


def _bound(remove: Callable[..., None], **arguments: bool) -> Callable[[], None]:
    return lambda: remove(**arguments)


def _remove(one: Leftover, say: Callable[[str], None]) -> None:
    try:
        one.remove()
    except NotFound:
        return  # went by itself meanwhile
    except APIError as error:
        raise LifecycleError(
            subject=one.name,
            step=f"removing a {one.kind} that the state does not know",
            seen=str(error.explanation),
            remedy=f"remove what the message names, or the {one.kind} itself (`docker "
            f"{'rm -f' if one.kind == 'container' else f'{one.kind} rm'} {one.name}`), then run "
            "this again",
        ) from None
    say(f"removed the {one.kind} {one.name}, which the state does not know")
