"""A host's containers: the few calls that the actions make, with failures in words."""

import io
import queue
import struct
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import docker
from docker.errors import (
    APIError,
    DockerException,
    NotFound,
    create_api_error_from_http_exception,
)
from docker.models.containers import Container
from requests.exceptions import HTTPError, RequestException

LOG_LINES = 15
COMMAND_WITHIN_S = 30
"""What a command in a container may take: those here read a few small files."""

Executed = tuple[int | None, bytes, bytes]
"""Exit status, standard output and standard error of a command."""

_HEADER = struct.Struct(">BxxxI")
"""Before each frame: which stream, and how many bytes."""
_STDERR = 2


def find(client: docker.DockerClient, name: str) -> Container | None:
    """Return the container called *name*, or none."""
    try:
        return client.containers.get(name)
    except NotFound:
        return None


def last_lines(container: Container) -> tuple[str, ...]:
    """Return the last lines that *container* wrote, oldest first."""
    try:
        text = container.logs(tail=LOG_LINES).decode(errors="replace")
    except APIError:
        return ()
    return tuple(line.rstrip() for line in text.splitlines() if line.strip())


def run(container: Container, *argv: str, within_s: float = COMMAND_WITHIN_S) -> str:
    """
    Run *argv* in *container* as its own user and return what it wrote to standard output.

    Raises:
        ContainerGoneError: the container is not there, or does not run.
        CommandError: the command exited with another status than 0, could not be run, or did not
            end within *within_s* seconds.
    """
    try:
        status, *streams = _execute(container, argv, within_s)
    except APIError as error:
        raise _refused(error) from None
    stdout, stderr = (stream.decode(errors="replace") for stream in streams)
    if status != 0:
        raise CommandError((stderr + stdout).strip() or f"exit status {status}")
    return stdout


def _execute(container: Container, argv: tuple[str, ...], within_s: float) -> Executed:
    """Run *argv* beside this thread, as the bound of a request is between two bytes of it."""
    ended: queue.SimpleQueue[Executed | Exception] = queue.SimpleQueue()

    def execute() -> None:
        try:
            ended.put(_execute_here(container, argv, within_s))
        except Exception as error:
            ended.put(error)

    threading.Thread(target=execute, daemon=True).start()
    try:
        answer = ended.get(timeout=within_s)
    except queue.Empty:
        raise CommandError(f"`{argv[0]}` did not end within {within_s:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _execute_here(container: Container, argv: tuple[str, ...], within_s: float) -> Executed:
    """
    Run *argv* and wait for its end.

    Not by the SDK's `exec_start`: it reads the socket below a buffer that may have taken the first
    frames along with the answer's headers, which are then lost.
    """
    api = container.client.api  # type: ignore[union-attr]
    command = api.exec_create(container.id, list(argv))["Id"]
    url = f"{api.base_url}/v{api.api_version}/exec/{command}/start"
    answer = api.post(url, json={"Detach": False, "Tty": False}, timeout=within_s)
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
    status = api.exec_inspect(command)["ExitCode"]
    return status, *_streams(answer.content)


def _streams(content: bytes) -> tuple[bytes, bytes]:
    """
    Take both streams out of their frames.

    Source: https://docs.docker.com/reference/api/engine/, ContainerAttach, "Stream format".
    """
    streams: tuple[list[bytes], list[bytes]] = ([], [])
    start = 0
    while start < len(content):
        stream, size = _HEADER.unpack_from(content, start)
        start += _HEADER.size + size
        streams[stream == _STDERR].append(content[start - size : start])
    stdout, stderr = streams
    return b"".join(stdout), b"".join(stderr)


def _refused(error: APIError) -> "CommandError":
    text = str(error.explanation)
    # A daemon that was restarted beneath its containers answers 404 for the command alone.
    gone = "No such container" in text or (error.status_code == 409 and "is not running" in text)
    return ContainerGoneError(text) if gone else CommandError(text)


class CommandError(Exception):
    """A command inside a container failed; its text is what the command printed."""


class ContainerGoneError(CommandError):
    """The container in which a command was to run is not there, or does not run."""


def tar_of(
    files: Mapping[str, bytes], *, uid: int = 0, gid: int = 0, directories: tuple[str, ...] = ()
) -> bytes:
    """Pack *files* (path to content) and *directories*, owned by *uid* and *gid*."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in directories:
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.uid, entry.gid, entry.mtime = uid, gid, int(time.time())
            tar.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            entry.uid, entry.gid, entry.mtime = uid, gid, int(time.time())
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def temporary(container: Container) -> Iterator[Container]:
    """Remove *container* at the end, whatever happens; what went wrong before is what is told."""
    try:
        yield container
    except BaseException:
        with suppress(DockerException, RequestException):
            container.remove(force=True)
        raise
    with suppress(NotFound):
        container.remove(force=True)
