"""
The balancer's configuration volume: generations of files, one of them current.

A change is a new generation: the current one copied, the change laid over it, checked by
``nginx -t``, made current by one rename, then loaded. One lock in the volume is held meanwhile,
so that writers follow each other wherever they run, and a killed writer holds nothing.
"""

import http.client
import io
import json
import re
import tarfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from docker.errors import APIError, NotFound
from docker.models.containers import Container

from lifecycle import docker_host
from lifecycle.errors import LifecycleError
from lifecycle.member import CHANGE
from lifecycle.reach import Link
from lifecycle.spec import BalancerRef
from planner.labels import owner_of
from planner.nginx import LISTEN_PORT

DIRECTORY = "/etc/ovms-numa"
LOCK_WAIT_S = 60
_READ_TRIES = 3
RELOAD_WAIT_S = 15

SCRIPTS = Path(__file__).with_name("in_balancer")
"""The folder of what runs in the balancer's container."""


def script(name: str) -> str:
    """Return the text of what runs in the balancer's container, one of `member.SCRIPTS`."""
    return (SCRIPTS / name).read_text()


def read_all(container: Container) -> dict[str, bytes]:
    """
    Return the files of the current generation by path; the balancer need not run.

    Read without the lock: where a writer made another generation current meanwhile, once more.
    """
    try:
        return next(files for _ in range(_READ_TRIES) if (files := _read_once(container)))
    except (NotFound, StopIteration):
        return {}


def _read_once(container: Container) -> dict[str, bytes]:
    stream, _ = container.get_archive(DIRECTORY)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        root = PurePosixPath(DIRECTORY).name
        entries = {entry.name: entry for entry in tar.getmembers()}
        current = entries.get(f"{root}/current")
        if current is None:
            return {}
        prefix = f"{root}/{current.linkname}/"
        return {
            name.removeprefix(prefix): (tar.extractfile(entry) or io.BytesIO()).read()
            for name, entry in entries.items()
            if name.startswith(prefix) and entry.isfile()
        }


def change(
    link: Link,
    balancer: BalancerRef,
    put: Mapping[str, bytes],
    *,
    remove: tuple[str, ...] = (),
) -> None:
    """
    Make a generation with *put* laid over the current one, and load it where Nginx runs.

    Args:
        link: to the balancer's host.
        balancer: whose configuration.
        put: content by path inside the generation.
        remove: paths to leave out; those that are not there are no fault.

    Raises:
        LifecycleError: there is no balancer, Nginx refuses the configuration (the current
            generation then stays as it was), or it was not loaded in time.
    """
    container = docker_host.find(link.client, balancer.container)
    if container is None:
        raise LifecycleError(
            subject=balancer.container,
            step="changing the balancer's configuration",
            seen="there is no such container",
            remedy="run `pulumi up`, which makes the balancer first",
        )
    if container.status != "running":
        _change_at_rest(link, balancer, container, put, remove)
        return
    incoming = f"incoming-{uuid.uuid4().hex}"
    _copy_in(container, f"{DIRECTORY}/", incoming, put)
    generation = _swap(container, balancer, incoming, reload=True, remove=remove)
    _wait_for(link, balancer, generation)


def _change_at_rest(
    link: Link,
    balancer: BalancerRef,
    container: Container,
    put: Mapping[str, bytes],
    remove: tuple[str, ...],
) -> None:
    helper = link.client.containers.create(
        container.attrs["Image"],
        ["sleep", "120"],
        entrypoint="",
        user=container.attrs["Config"]["User"],
        volumes={balancer.volume: {"bind": DIRECTORY, "mode": "rw"}},
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        labels=owner_of(container.labels),
        # Where Docker stops meanwhile, it removes the helper itself when it starts again.
        auto_remove=True,
    )
    with docker_host.temporary(helper):
        incoming = f"incoming-{uuid.uuid4().hex}"
        _copy_in(helper, "/etc", f"ovms-numa/{incoming}", put)
        helper.start()
        _swap(helper, balancer, incoming, reload=False, remove=remove)


def _copy_in(container: Container, parent: str, folder: str, put: Mapping[str, bytes]) -> None:
    """Copy *put* to parent/folder, owned, like each folder on the way, by Nginx's user."""
    uid, _, gid = container.attrs["Config"]["User"].partition(":")
    steps = folder.split("/")
    directories = ["/".join(steps[: n + 1]) for n in range(len(steps))]
    directories += sorted({f"{folder}/{path.rpartition('/')[0]}" for path in put if "/" in path})
    archive = docker_host.tar_of(
        {f"{folder}/{path}": content for path, content in put.items()},
        uid=int(uid),
        gid=int(gid),
        directories=tuple(directories),
    )
    container.put_archive(parent, archive)


def _swap(
    container: Container,
    balancer: BalancerRef,
    incoming: str,
    *,
    reload: bool,
    remove: tuple[str, ...],
) -> int:
    # Its text, as the volume may have another version of it, or none yet.
    change_sh = ("sh", "-c", script(CHANGE), "sh", DIRECTORY)
    argv = ("flock", "-w", str(LOCK_WAIT_S), f"{DIRECTORY}/lock", *change_sh)
    try:
        output = docker_host.run(
            container,
            *(*argv, incoming, "yes" if reload else "no", *remove),
            within_s=LOCK_WAIT_S + docker_host.COMMAND_WITHIN_S,
        )
    except docker_host.CommandError as error:
        raise LifecycleError(
            subject=balancer.container,
            step="changing the balancer's configuration",
            seen=f"Nginx keeps the one it has: {error}",
            remedy="correct what the message names (a setting of `balancer`, a full disk); if it "
            f"names nothing, another writer held the lock for {LOCK_WAIT_S} s; then run "
            "`pulumi up` again",
        ) from None
    return int(output)


def wait_until_loaded(link: Link, balancer: BalancerRef, files: Mapping[str, bytes]) -> None:
    """
    Wait until Nginx has loaded the generation that *files* are, or one that followed it.

    Raises:
        LifecycleError: it was not loaded in time.
    """
    number = re.search(rb"default (\d+);", files.get("generation.conf", b""))
    if number is not None:
        _wait_for(link, balancer, int(number[1]))


def _wait_for(link: Link, balancer: BalancerRef, generation: int) -> None:
    deadline = time.monotonic() + RELOAD_WAIT_S
    seen = loaded_generation(link, balancer)
    while seen is None or seen < generation:
        if time.monotonic() > deadline:
            raise LifecycleError(
                subject=balancer.container,
                step="reloading Nginx",
                seen=f"generation {generation} was not loaded within {RELOAD_WAIT_S} s; "
                f"generation {seen} answers at {balancer.address}:{LISTEN_PORT}",
                remedy=f"look at `docker logs {balancer.container}`, then run `pulumi up` again",
            )
        time.sleep(0.05)
        seen = loaded_generation(link, balancer)


def loaded_generation(link: Link, balancer: BalancerRef) -> int | None:
    """Return the generation that a worker of the balancer answers with, or none."""
    connection = link.http(balancer.address, LISTEN_PORT, 3, inside=balancer.container)
    try:
        connection.request("GET", "/healthz")
        return int(json.loads(connection.getresponse().read())["generation"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def start(link: Link, balancer: BalancerRef, *, start_s: int) -> None:
    """
    Start the balancer where it does not run, and wait until it answers.

    Raises:
        LifecycleError: it could not be started or did not answer within *start_s* seconds.
    """
    container = link.client.containers.get(balancer.container)
    if container.status == "running":
        return
    try:
        container.start()
    except APIError as error:
        raise LifecycleError(
            subject=balancer.container,
            step="starting the balancer",
            seen=str(error.explanation),
            remedy="mend what the message names (an address in use: stop the program that has "
            "`balancer.port`, which `ss -ltnp` names, or set another one), then run `pulumi up` "
            "again",
        ) from None
    deadline = time.monotonic() + start_s
    while loaded_generation(link, balancer) is None:
        container.reload()
        if container.status != "running" or time.monotonic() > deadline:
            seen = f"no answer at {balancer.address}:{LISTEN_PORT} within {start_s} s"
            if container.status != "running":
                seen = f"it ended with status {container.attrs['State']['ExitCode']}"
            log_lines = docker_host.last_lines(container)
            container.stop(timeout=1)
            raise LifecycleError(
                subject=balancer.container,
                step="starting the balancer",
                seen=seen,
                log_lines=log_lines,
                remedy="mend what its log names, then run `pulumi up` again",
            )
        time.sleep(0.1)
