"""Where a host's Docker engine is, and what every OpenSSH client is told on the way there."""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

CONNECT_TIMEOUT_S = 10
# A connection whose host falls silent is given up after three questions without an answer.
_ALIVE_INTERVAL_S = 5

# Nothing is asked, no host key is taken on trust, no file of the user is written, and no output
# but errors is printed; what is not named here the user's own configuration may set (the key, an
# agent, a ProxyJump).
_ALWAYS = {
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
# Other ways by which the user's configuration may have a key trusted.
_ECHO = "/bin/echo %H "
_ONLY_PINNED = {
    "GlobalKnownHostsFile": "/dev/null",
    "VerifyHostKeyDNS": "no",
    "NoHostAuthenticationForLocalhost": "no",
}


class Where(BaseModel):
    """
    A host's Docker engine, and how the host proves that it is the right one.

    The same in the settings, in the specs of actions and in the state, so it names no path of the
    operator's machine but those relative to the project.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    docker: str = Field(
        description="URL: unix://PATH here, ssh://USER@HOST[:PORT], or tcp://HOST:PORT by TLS"
    )
    host_key: str | None = Field(
        default=None, description="the only key trusted, as `TYPE BASE64`; none: see known_hosts"
    )
    known_hosts: str | None = Field(
        default=None,
        description="the only file whose host keys are trusted; none: the user's and the system's",
    )

    tls: str | None = Field(
        default=None,
        description="the folder with ca.pem, cert.pem and key.pem for tcp://; none for others",
    )

    @classmethod
    def of(cls, told: BaseModel) -> Self:
        """Return the host that *told* names in fields of the same names, whatever else it has."""
        return cls.model_validate(told, from_attributes=True)

    @classmethod
    def of_options(cls, docker: str, options: Iterable[str]) -> Self:
        """Return what `ssh_options` were made from: a provider in a state has only those."""
        said = dict(option.partition("=")[::2] for option in options)
        key, file = said.get("KnownHostsCommand", ""), said.get("UserKnownHostsFile")
        if key.startswith(_ECHO):
            return cls(docker=docker, host_key=key.removeprefix(_ECHO))
        path = None if file is None else file.strip('"').replace("%%", "%")
        return cls(docker=docker, known_hosts=path)

    @property
    def is_remote(self) -> bool:
        """Whether the engine is reached over SSH."""
        return self.docker.startswith("ssh://")

    @property
    def is_engine_only(self) -> bool:
        """Whether nothing but the host's Docker engine is reached: not its files or ports."""
        return self.docker.startswith("tcp://")

    def told(self) -> dict[str, str]:
        """Return what is set, by field: how a spec says it."""
        return {name: str(value) for name, value in self if value is not None}

    def ssh_options(self) -> tuple[str, ...]:
        """
        Return the options for every OpenSSH client, as arguments; they name no host.

        For each option the first value that a client is given counts, see ssh_config(5).
        """
        settings = _ALWAYS | self._trusted()
        return tuple(part for name, value in settings.items() for part in ("-o", f"{name}={value}"))

    def _trusted(self) -> dict[str, str]:
        if self.host_key is not None:
            # The command prints a line of known_hosts for whatever name the client looks up, so
            # that no file has to be written. Clients before OpenSSH 8.5 do not know it.
            return {
                **_ONLY_PINNED,
                "UserKnownHostsFile": "/dev/null",
                "KnownHostsCommand": f"{_ECHO}{self.host_key}",
            }
        if self.known_hosts is None:
            return {}
        # Quoted, as ssh takes several files; a percent sign begins one of its tokens.
        path = self.known_hosts.replace("%", "%%")
        return {
            **_ONLY_PINNED,
            "UserKnownHostsFile": f'"{path}"',
            # Clients before OpenSSH 8.5 do not know the last.
            "IgnoreUnknown": "KnownHostsCommand",
            "KnownHostsCommand": "none",
        }
