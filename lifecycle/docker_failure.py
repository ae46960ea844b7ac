"""What went wrong between here and a Docker engine, in words."""

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from lifecycle.errors import CutOffError, LifecycleError, RefusedError, UnreachableError


def unanswered(url: str, error: Exception) -> LifecycleError:
    """Return what says that no engine answers at *url*, or that it lets this user not in."""
    kind: type[LifecycleError] = UnreachableError
    remedy = (
        "start Docker there (`make up` does on this machine), or correct `docker` of the host in "
        "the stack's settings"
    )
    if any(isinstance(one, PermissionError) for one in _chain(error)):
        remedy = (
            "add this user to the group that may (`usermod -aG docker USER`, then log in again), "
            "or run this as root"
        )
        kind = LifecycleError
    if any(_is_of_this_machine(one) for one in _chain(error)):
        remedy = (
            "see that this machine's network is up and knows the host's name (/etc/hosts does for "
            "one), or correct `docker` of the host in the stack's settings"
        )
        kind = CutOffError
    if any(isinstance(one, ssl.SSLError) for one in _chain(error)):
        remedy = (
            "compare the certificates: the engine's must be of the authority in ca.pem and name "
            "the host in the URL, and the client's of the authority that the engine trusts; none "
            "may be over"
        )
        kind = RefusedError
    return kind(
        subject=url,
        step="connecting to Docker",
        seen=f"no engine answers ({reason(error)})",
        remedy=remedy,
    )


def _is_of_this_machine(error: BaseException) -> bool:
    if isinstance(error, socket.gaierror):
        return True
    return isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.ENETDOWN)


@contextmanager
def speaking_with(
    url: str, *, step: str, subject: str | None = None, again: str = "`pulumi up`"
) -> Iterator[None]:
    """
    Put into words what goes wrong with the Docker engine at *url* during a step.

    Args:
        url: of the engine.
        step: what is being done.
        subject: whom that concerns; the engine itself where none is named.
        again: the command that goes on once the fault is mended.

    Raises:
        UnreachableError: the engine did not answer in time, or went away.
        LifecycleError: it refused a call.
    """
    try:
        yield
    except (DockerException, RequestException) as error:
        seen, remedy = _in_words(url, error)
        kind = LifecycleError if isinstance(error, APIError) else UnreachableError
        raise kind(
            subject=subject or url,
            step=step,
            seen=seen,
            remedy=f"{remedy}, then run {again} again",
        ) from None


def _in_words(url: str, error: Exception) -> tuple[str, str]:
    if isinstance(error, APIError):
        return (
            f"Docker refuses a call: {reason(error)}",
            "mend what the message names; the Docker daemon's log may say more",
        )
    if timed_out(error):
        return (
            f"Docker at {url} did not answer in time",
            "see in the Docker daemon's log what holds it up",
        )
    return (
        f"Docker at {url} does not answer any more ({reason(error)})",
        "start it again (`make up` does on this machine)",
    )


def timed_out(error: BaseException) -> bool:
    """Tell whether *error* of the SDK is a wait that was too long for its bound."""
    # While an answer's body is read the SDK has no type for it; urllib3's words stay.
    return any("timed out" in str(one).lower() for one in _chain(error))


def reason(error: BaseException) -> str:
    """
    Return in few words why a call to Docker failed.

    The engine's own sentence where it gave one, else the operating system's, which the SDK wraps
    in the texts of three libraries.
    """
    for one in _chain(error):
        if isinstance(one, APIError) and one.explanation:
            return str(one.explanation).strip().removesuffix(".")
    if timed_out(error):
        return "timed out"
    # Requests' own errors are OSErrors too, without a number.
    system = (one.strerror for one in _chain(error) if isinstance(one, OSError))
    return next((words for words in system if words), str(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and all that it was made from."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (*one.args, one.__cause__, one.__context__)
        waiting += [its for its in inner if isinstance(its, BaseException)]
