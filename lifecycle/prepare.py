"""Put a model into a volume, converted by the image that serves it."""

from collections.abc import Callable
from pathlib import Path

import docker
from docker.models.containers import Container
from requests.exceptions import RequestException

from lifecycle import docker_host
from lifecycle.disk import shortage
from lifecycle.docker_failure import timed_out
from lifecycle.errors import MAKE_SPACE, LifecycleError
from lifecycle.reach import reach
from lifecycle.spec import Prepare
from planner.labels import owner_of

# Inside the helper container.
_INPUT = "/tmp/model"  # noqa: S108
_OUTPUT = "/models"

_CONVERTS = "ovms-numa.converts"
"""The label of a helper: the volume that it fills."""


def prepare(spec: Prepare, progress: Callable[[str], None]) -> dict[str, object]:
    """
    Run the conversion of *spec* in a helper container with the volume mounted.

    The conversion itself does nothing where the volume already holds its result.

    Returns:
        The volume.

    Raises:
        LifecycleError: the source is not staged, or the conversion failed or took too long.
    """
    link = reach(spec.where, timeout_s=300)
    client = link.client
    files = {path.name: path.read_bytes() for path in sorted(Path(spec.source).glob("*"))}
    if not files:
        raise LifecycleError(
            subject=spec.volume,
            step="preparing the model",
            seen=f"nothing is staged in {spec.source}",
            remedy="run `make up`, which stages it",
        )
    helper = _helper(client, spec)
    with docker_host.temporary(helper):
        folder = Path(_INPUT).name
        archive = docker_host.tar_of(
            {f"{folder}/{name}": content for name, content in files.items()}, directories=(folder,)
        )
        helper.put_archive(str(Path(_INPUT).parent), archive)
        progress("converting")
        helper.start()
        seen = _end_of(helper, spec.convert_s)
        if seen != "exit status 0":
            little = shortage(link, client.info())
            raise LifecycleError(
                subject=spec.volume,
                step="converting the model",
                seen=f"{seen}; {little}" if little else seen,
                log_lines=docker_host.last_lines(helper),
                # A program that cannot write does not always say why.
                remedy=f"if its log names something that could not be written, {MAKE_SPACE}; else "
                "correct what it names"
                if little
                else "correct what its log names, then run `pulumi up` again",
            )
    progress("prepared")
    return {"volume": spec.volume}


def _helper(client: docker.DockerClient, spec: Prepare) -> Container:
    owner = owner_of(client.volumes.get(spec.volume).attrs["Labels"] or {})
    # One that an earlier try could not remove, as Docker had stopped: it holds the volume.
    labels = [f"{key}={value}" for key, value in {**owner, _CONVERTS: spec.volume}.items()]
    for left in client.containers.list(all=True, ignore_removed=True, filters={"label": labels}):
        left.remove(force=True)
    return client.containers.create(
        spec.image,
        list(spec.command),
        entrypoint="",
        volumes={spec.volume: {"bind": _OUTPUT, "mode": "rw"}},
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        # A first process that handles no signal would hold up a Docker engine that stops.
        stop_signal="SIGKILL",
        labels={**owner, _CONVERTS: spec.volume},
    )


def _end_of(helper: Container, within_s: int) -> str:
    """Wait for the end of *helper* and say how it ended."""
    try:
        return f"exit status {helper.wait(timeout=within_s)['StatusCode']}"
    except RequestException as error:
        if not timed_out(error):
            raise
        return f"no exit within {within_s} s"
