"""How programs are run on other hosts: one OpenSSH client each, with the options of `Where`."""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lifecycle.errors import CutOffError, LifecycleError, UnreachableError
from lifecycle.ssh_words import failure
from planner.errors import SettingsError
from planner.settings.host import SSH_URL, ssh_fault
from planner.where import Where

# Bounds what the options do not: resolving names, a proxy, a login that hangs.
RUN_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """
    A host behind SSH.

    Attributes:
        where: its URL, and what its key is checked against.
        user: who logs in there.
        name: name or IPv4 address.
        port: None: 22, or what the user's configuration has.
        control: the socket of a connection that is open already and is used; None: a new one.
    """

    where: Where
    user: str
    name: str
    port: int | None
    control: Path | None = None

    @classmethod
    def parse(cls, where: Where) -> Self:
        """
        Take apart the URL of *where*.

        Raises:
            SettingsError: it is not that of a host behind SSH.
        """
        url = where.docker
        if not where.is_remote:
            raise SettingsError(
                f"HOST: {url!r} is not reached over SSH; write ssh://USER@HOST, or leave HOST out "
                "for this machine"
            )
        match = SSH_URL.fullmatch(url)
        if match is None or ssh_fault(url):
            raise SettingsError(f"HOST: {ssh_fault(url)}")
        port = int(match["port"]) if match["port"] else None
        return cls(where=where, user=match["user"], name=match["name"], port=port)

    def argv(self, *arguments: str, first: tuple[str, ...] = ()) -> list[str]:
        """
        Return the command line of a client, up to the host's name.

        Args:
            arguments: of this client alone.
            first: options of this client alone that count before those of all clients.
        """
        shared = () if self.control is None else ("-o", f"ControlPath={self.control}")
        port = () if self.port is None else ("-p", str(self.port))
        options = (*first, *shared, *self.where.ssh_options(), *arguments)
        return ["ssh", *options, "-l", self.user, *port, "--", self.name]

    @property
    def by_hand(self) -> str:
        """How a user types it."""
        port = "" if self.port is None else f" -p {self.port}"
        return f"ssh -l {self.user}{port} {self.name}"


def run_program(host: SshHost, program: str, *, step: str) -> str:
    """
    Run a shell program on *host* and return what it wrote to standard output.

    Args:
        host: where.
        program: for a POSIX shell, which reads it from its standard input; so it runs whatever
            the user's login shell is.
        step: what is being done, for the message.

    Raises:
        UnreachableError: the host cannot be reached, or gives no answer in RUN_TIMEOUT_S seconds.
        RefusedError: it refuses the user, or is not the one whose key is known.
        LifecycleError: it runs no shell.
    """
    try:
        status, output, errors = _run([*host.argv(), "sh"], program)
    except FileNotFoundError:
        raise no_client(host, step) from None
    except subprocess.TimeoutExpired:
        raise UnreachableError(
            subject=host.where.docker,
            step=step,
            seen=f"it did not answer within {RUN_TIMEOUT_S} s",
            remedy=f"see that `{host.by_hand} true` ends at once, then run this again",
        ) from None
    if status:
        raise failure(host, step, status, errors)
    return output


def no_client(host: SshHost, step: str) -> LifecycleError:
    """Say that there is no OpenSSH client on this machine."""
    return CutOffError(
        subject=host.where.docker,
        step=step,
        seen="there is no program ssh on this machine",
        remedy="install an OpenSSH client here (package openssh-client), then run this again",
    )


def _run(argv: list[str], program: str) -> tuple[int, str, str]:
    """Run *argv*; a proxy that it started ends with it."""
    with subprocess.Popen(  # noqa: S603 (no shell; the URL's parts are checked)
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(program, timeout=RUN_TIMEOUT_S)
        except BaseException:
            # The process group is the child's own; it may have ended by itself meanwhile.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output, errors
