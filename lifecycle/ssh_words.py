"""What an OpenSSH client says when it fails, in words that name a remedy."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.ssh import SshHost

# The client's own failures; other numbers are the exit status of the program on the host.
_CLIENT_FAILED = 255
_AGAIN = "then run this again"


def explain(host: "SshHost", status: int, errors: str) -> tuple[str, str]:
    """
    Say why a client ended with *status*, and what to do.

    Args:
        host: where it was to go.
        status: its exit status, not 0.
        errors: what it wrote to standard error.
    """
    by_hand = " ".join(("ssh", *host.destination[:-2], host.name))
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1].rstrip(".") if lines else "it said nothing"
    if status != _CLIENT_FAILED:
        return (
            f"a shell program of {host.user!r} fails there (exit status {status}: {last})",
            f"see that `{by_hand} sh -c true` works, or name a user with a login shell, {_AGAIN}",
        )
    for pattern, seen, remedy in _MESSAGES:
        if re.search(pattern, errors):
            words = {"user": host.user, "name": host.name, "port": host.port or 22}
            words |= {"by_hand": by_hand, "last": last, **_pins(host)}
            return seen.format_map(words), remedy.format_map(words)
    return f"ssh failed ({last})", f"mend what it names; see that `{by_hand} true` works, {_AGAIN}"


def _pins(host: "SshHost") -> dict[str, str]:
    named = host.name if host.port in (None, 22) else f"[{host.name}]:{host.port}"
    if host.known_hosts is None:
        return {"named": named, "pins": "your known_hosts", "file": ""}
    return {"named": named, "pins": str(host.known_hosts), "file": f" -f {host.known_hosts}"}


_LOOK = "compare `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console"

# What sshd(8) and ssh(1) of OpenSSH 7 to 10 print, most telling first.
_MESSAGES = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "its host key is not the one that {pins} has for {named}: it was installed anew, or "
        "another machine answers in its place",
        f"{_LOOK} with what answers now (`ssh-keyscan -p {{port}} {{name}} | ssh-keygen -lf -`); "
        "only where they are equal, take the old key away with `ssh-keygen -R '{named}'{file}` "
        f"and put the new one there, {_AGAIN}",
    ),
    (
        r"Host key verification failed|host key is known for",
        "its host key is not in {pins}, so nobody can tell that it is the right machine",
        f"{_LOOK} with what answers (`ssh-keyscan -p {{port}} {{name}} | ssh-keygen -lf -`); "
        "where they are equal, put what ssh-keyscan prints into {pins}, or name another file "
        f"with KNOWN_HOSTS, {_AGAIN}",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it does not let the user {user!r} in ({last})",
        "correct the user in the URL, or put your public key into that user's authorized_keys "
        "there (`ssh-copy-id`) and have the key loaded here (`ssh-add -l`), "
        f"until `{{by_hand}} true` asks nothing; {_AGAIN}",
    ),
    (
        r"Could not resolve hostname",
        "no name server knows {name!r}",
        f"correct the host in the URL, or write its IPv4 address, {_AGAIN}",
    ),
    (
        r"Connection refused",
        "nothing listens on its port {port}",
        f"start sshd there, or write its port into the URL (ssh://USER@HOST:PORT), {_AGAIN}",
    ),
    (
        r"timed out|not responding|No route to host|Network is unreachable",
        "it does not answer on port {port} ({last})",
        "see that it is up, and that address, port and firewall let this machine reach it, "
        f"{_AGAIN}",
    ),
    (
        r"Connection (closed|reset) by|Connection to .* closed|kex_exchange_identification",
        "it ended the connection before the answer ({last})",
        f"see sshd's log there; where it names MaxStartups, wait some seconds, {_AGAIN}",
    ),
)
