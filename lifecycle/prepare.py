"""Put a model into a volume, converted by the image that serves it."""

from collections.abc import Callable
from pathlib import Path

import requests.exceptions

from lifecycle import balancer_config, docker_host
from lifecycle.errors import LifecycleError
from lifecycle.spec import Prepare

# Inside the helper container.
_INPUT = "/tmp/model"  # noqa: S108
_OUTPUT = "/models"


def prepare(spec: Prepare, progress: Callable[[str], None]) -> dict[str, object]:
    """
    Run the conversion of *spec* in a helper container with the volume mounted.

    The conversion itself does nothing where the volume already holds its result.

    Returns:
        The volume.

    Raises:
        LifecycleError: the source is not staged, or the conversion failed or took too long.
    """
    client = docker_host.connect(spec.docker, timeout_s=300)
    files = {path.name: path.read_bytes() for path in sorted(Path(spec.source).glob("*"))}
    if not files:
        raise LifecycleError(
            subject=spec.volume,
            step="preparing the model",
            seen=f"nothing is staged in {spec.source}",
            remedy="run `make up`, which stages it",
        )
    helper = client.containers.create(
        spec.image,
        list(spec.command),
        entrypoint="",
        volumes={spec.volume: {"bind": _OUTPUT, "mode": "rw"}},
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        labels=balancer_config.owner(client.volumes.get(spec.volume).attrs["Labels"] or {}),
    )
    with docker_host.temporary(helper):
        folder = Path(_INPUT).name
        archive = docker_host.tar_of(
            {f"{folder}/{name}": content for name, content in files.items()}, directories=(folder,)
        )
        helper.put_archive(str(Path(_INPUT).parent), archive)
        progress("converting")
        helper.start()
        try:
            seen = f"exit status {helper.wait(timeout=spec.convert_s)['StatusCode']}"
        except requests.exceptions.RequestException:
            seen = f"no exit within {spec.convert_s} s"
        if seen != "exit status 0":
            raise LifecycleError(
                subject=spec.volume,
                step="converting the model",
                seen=seen,
                log_lines=docker_host.last_lines(helper),
                remedy="correct what its log names, then run `pulumi up` again",
            )
    progress("prepared")
    return {"volume": spec.volume}
