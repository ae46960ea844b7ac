"""What an OpenSSH client says when it fails, in words that name a remedy."""

import re
from typing import TYPE_CHECKING

from lifecycle.errors import CutOffError, LifecycleError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from lifecycle.ssh import SshHost

# The client's own failures; other numbers are the exit status of the program on the host.
_CLIENT_FAILED = 255
_AGAIN = "then run this again"


def failure(host: "SshHost", step: str, status: int, errors: str) -> LifecycleError:
    """
    Say why a client ended with *status*, and what to do.

    Args:
        host: where it was to go.
        step: what was being done.
        status: its exit status, not 0.
        errors: what it wrote to standard error.

    Returns:
        An UnreachableError where nothing answers, a RefusedError where the wrong key or a refusal
        does.
    """
    kind, seen, remedy = _explain(host, status, errors)
    return kind(subject=host.where.docker, step=step, seen=seen, remedy=f"{remedy}, {_AGAIN}")


def _explain(host: "SshHost", status: int, errors: str) -> tuple[type[LifecycleError], str, str]:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else "it said nothing"
    if status != _CLIENT_FAILED:
        return (
            RefusedError,
            f"a shell program of {host.user!r} fails there (exit status {status}: {last})",
            f"see that `{host.by_hand} sh -c true` works, or name a user with a login shell",
        )
    for kind, pattern, seen, remedy in _MESSAGES:
        if re.search(pattern, errors):
            words = {"user": host.user, "name": host.name, "port": host.port or 22}
            words |= {"by_hand": host.by_hand, "last": last, **_pins(host)}
            return kind, seen.format_map(words), remedy.format_map(words)
    return (
        LifecycleError,
        f"ssh failed ({last})",
        f"mend what it names; see that `{host.by_hand} true` works",
    )


def _pins(host: "SshHost") -> dict[str, str]:
    """Say where the keys stand that are trusted, and how another one gets there."""
    named = host.name if host.port in (None, 22) else f"[{host.name}]:{host.port}"
    if host.where.host_key is not None:
        write = "write it as `host-key`: what ssh-keyscan prints behind the name"
        return {"named": named, "pins": "`host-key`", "renew": write, "admit": write}
    file = host.where.known_hosts
    place = file or "your known_hosts"
    return {
        "named": named,
        "pins": place,
        "renew": f"take the old key away with `ssh-keygen -R '{named}'{f' -f {file}' * bool(file)}`"
        " and put the new one there",
        "admit": f"put what ssh-keyscan prints into {place}, or pin the key (`host-key` of the "
        "host in the stack's settings; for `make capture` KNOWN_HOSTS=FILE)",
    }


_COMPARE = (
    "compare `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console with "
    "what answers (`ssh-keyscan -p {port} {name} | ssh-keygen -lf -`)"
)

# What sshd(8) and ssh(1) of OpenSSH 7 to 10 print, most telling first.
_MESSAGES = (
    (
        RefusedError,
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "its host key is not the one that {pins} has for {named}: it was installed anew, or "
        "another machine answers in its place",
        f"{_COMPARE}; only where they are equal, {{renew}}",
    ),
    (
        RefusedError,
        r"Host key verification failed|host key is known for",
        "its host key is not in {pins}, so nobody can tell that it is the right machine",
        f"{_COMPARE}; where they are equal, {{admit}}",
    ),
    (
        RefusedError,
        r"Permission denied|Too many authentication failures",
        "it does not let the user {user!r} in ({last})",
        "correct the user in the URL, or put your public key into that user's authorized_keys "
        "there (`ssh-copy-id`) and have the key loaded here (`ssh-add -l`), "
        "until `{by_hand} true` asks nothing",
    ),
    (
        LifecycleError,
        r"Bad configuration option: knownhostscommand",
        "the OpenSSH client of this machine is older than 8.5 and takes no key without a file",
        "install a newer one, or put the key into a file and name it with `known-hosts` of the "
        "host in place of `host-key`",
    ),
    (
        CutOffError,
        r"Could not resolve hostname",
        "no name server knows {name!r}",
        "correct the host in the URL, write its IPv4 address, or name it in /etc/hosts here",
    ),
    (
        CutOffError,
        r"Network is (unreachable|down)",
        "this machine has no way to it ({last})",
        "see that this machine's network is up and has a route there (`ip route`)",
    ),
    (
        UnreachableError,
        r"Connection refused",
        "nothing listens on its port {port}",
        "start sshd there, or write its port into the URL (ssh://USER@HOST:PORT)",
    ),
    (
        UnreachableError,
        r"timed out|not responding|No route to host|Host is down",
        "it does not answer on port {port} ({last})",
        "see that it is up, and that address, port and firewall let this machine reach it",
    ),
    (
        UnreachableError,
        r"Connection (closed|reset) by|Connection to .* closed|kex_exchange_identification"
        r"|Broken pipe",
        "it ended the connection before the answer ({last})",
        "see sshd's log there; where it names MaxStartups, wait some seconds",
    ),
)
