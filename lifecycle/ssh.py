"""
How other hosts are reached: one set of options for every OpenSSH client that is started.

The user's own configuration counts (keys, agent, ProxyJump), except for what these options set.
Nothing is asked, no host key is taken on trust, and no file of the user is written.
"""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lifecycle.errors import LifecycleError
from lifecycle.ssh_words import explain
from planner.errors import SettingsError
from planner.settings.host import SSH_URL, ssh_fault

CONNECT_TIMEOUT_S = 10
# A host that falls silent later is given up after three questions without an answer.
_ALIVE_INTERVAL_S = 5
# Bounds what the options do not: resolving names, a proxy, a login that hangs.
RUN_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SshHost:
    """
    A host and what its key is checked against.

    Attributes:
        url: such as ``ssh://me@far:2222``, as the settings have it.
        user: who logs in there.
        name: name or IPv4 address.
        port: None: 22, or what the user's configuration has.
        known_hosts: the only file whose host keys are trusted; None: the user's and the system's.
    """

    url: str
    user: str
    name: str
    port: int | None
    known_hosts: Path | None = None

    @classmethod
    def parse(cls, url: str, known_hosts: Path | None = None) -> Self:
        """
        Read a URL as the setting `docker` of a host takes it.

        Raises:
            SettingsError: it is no such URL, or there is no file *known_hosts*.
        """
        if not url.startswith("ssh://"):
            raise SettingsError(
                f"HOST: {url!r} is not reached over SSH; write ssh://USER@HOST, or leave HOST out "
                "for this machine"
            )
        match = SSH_URL.fullmatch(url)
        if match is None or ssh_fault(url):
            raise SettingsError(f"HOST: {ssh_fault(url)}")
        if known_hosts is not None and not known_hosts.expanduser().is_file():
            raise SettingsError(
                f"KNOWN_HOSTS: there is no file {str(known_hosts)!r}; name one in the form of "
                "known_hosts, or leave KNOWN_HOSTS out to trust what you have connected to before"
            )
        port = int(match["port"]) if match["port"] else None
        return cls(
            url=url, user=match["user"], name=match["name"], port=port, known_hosts=known_hosts
        )

    @property
    def options(self) -> tuple[str, ...]:
        """The options for every OpenSSH client, as arguments; they name no host."""
        settings = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "CheckHostIP": "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ConnectionAttempts": "1",
            "ServerAliveInterval": str(_ALIVE_INTERVAL_S),
            "ServerAliveCountMax": "3",
            # A connection that is shared was checked against somebody else's list of keys.
            "ControlMaster": "no",
            "ControlPath": "none",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "RequestTTY": "no",
            "LogLevel": "ERROR",
        }
        if self.known_hosts is not None:
            # Quoted, as ssh takes several files; a percent sign begins one of its tokens.
            path = str(self.known_hosts).replace("%", "%%")
            settings |= {
                "UserKnownHostsFile": f'"{path}"',
                "GlobalKnownHostsFile": "/dev/null",
                # Other ways by which the user's configuration may have a key trusted; clients
                # before OpenSSH 8.5 do not know the last.
                "VerifyHostKeyDNS": "no",
                "NoHostAuthenticationForLocalhost": "no",
                "IgnoreUnknown": "KnownHostsCommand",
                "KnownHostsCommand": "none",
            }
        return tuple(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))

    @property
    def destination(self) -> tuple[str, ...]:
        """The arguments that name the host, after the options."""
        port = () if self.port is None else ("-p", str(self.port))
        return ("-l", self.user, *port, "--", self.name)


def run_program(host: SshHost, program: str, *, step: str) -> str:
    """
    Run a shell program on *host* and return what it wrote to standard output.

    Args:
        host: where.
        program: for a POSIX shell, which reads it from its standard input; so it runs whatever
            the user's login shell is.
        step: what is being done, for the message.

    Raises:
        LifecycleError: the host cannot be reached, refuses the user, is not the one whose key is
            known, runs no shell, or gives no answer in RUN_TIMEOUT_S seconds.
    """
    argv = ("ssh", *host.options, *host.destination, "sh")
    try:
        status, output, errors = _run(argv, program)
    except FileNotFoundError:
        raise LifecycleError(
            subject=host.url,
            step=step,
            seen="there is no program ssh on this machine",
            remedy="install an OpenSSH client here (package openssh-client), then run this again",
        ) from None
    except subprocess.TimeoutExpired:
        raise LifecycleError(
            subject=host.url,
            step=step,
            seen=f"it did not answer within {RUN_TIMEOUT_S} s",
            remedy=f"see that `ssh -l {host.user} {host.name} true` ends at once, then run this "
            "again",
        ) from None
    if status:
        seen, remedy = explain(host, status, errors)
        raise LifecycleError(subject=host.url, step=step, seen=seen, remedy=remedy)
    return output


def _run(argv: tuple[str, ...], program: str) -> tuple[int, str, str]:
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
