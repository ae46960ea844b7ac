import os
import time
from pathlib import Path

import pytest

from lifecycle import ssh
from lifecycle.errors import CutOffError, LifecycleError, RefusedError, UnreachableError
from lifecycle.reach import Where
from lifecycle.ssh import SshHost, run_program
from planner.errors import SettingsError
from tests.lifecycle.scripted_ssh import ScriptedSsh

FAR = "ssh://me@far:2222"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedSsh:
    return ScriptedSsh(tmp_path / "bin", monkeypatch)


def host(url: str = FAR, **pins: str) -> SshHost:
    return SshHost.parse(Where(docker=url, **pins))


def fault(url: str) -> str:
    with pytest.raises(SettingsError) as refused:
        host(url)
    return str(refused.value)


def options(**pins: str) -> tuple[str, ...]:
    return Where(docker=FAR, **pins).ssh_options()


def refusal(url: str = FAR, **pins: str) -> LifecycleError:
    with pytest.raises(LifecycleError) as refused:
        run_program(host(url, **pins), "true", step="looking")
    return refused.value


def test_the_program_is_what_the_shell_of_the_host_reads(client: ScriptedSsh) -> None:
    client.does("cat")

    assert run_program(host(), "echo $HOME; é", step="looking") == "echo $HOME; é"


def test_the_host_is_named_as_its_url_does(client: ScriptedSsh) -> None:
    client.does("cat >/dev/null")

    run_program(host(), "", step="looking")
    with_port = client.argv
    run_program(host("ssh://me@10.0.0.5"), "", step="looking")

    assert with_port[-7:] == ["-l", "me", "-p", "2222", "--", "far", "sh"]
    assert client.argv[-5:] == ["-l", "me", "--", "10.0.0.5", "sh"]


def test_nothing_is_asked_and_no_key_is_taken_on_trust() -> None:
    told = options()

    assert told[::2] == ("-o",) * (len(told) // 2)
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no"} < set(told)
    assert not any("KnownHosts" in option for option in told)


def test_a_pinned_file_is_the_only_one_that_counts() -> None:
    told = options(known_hosts="hosts/100% ours")

    assert {
        'UserKnownHostsFile="hosts/100%% ours"',
        "GlobalKnownHostsFile=/dev/null",
        # What the user's own configuration may say besides.
        "VerifyHostKeyDNS=no",
        "NoHostAuthenticationForLocalhost=no",
        "KnownHostsCommand=none",
    } <= set(told)
    assert told.index("IgnoreUnknown=KnownHostsCommand") < told.index("KnownHostsCommand=none")


def test_a_pinned_key_is_the_only_one_that_counts_and_needs_no_file() -> None:
    assert {
        "KnownHostsCommand=/bin/echo %H ssh-ed25519 AAAA",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "VerifyHostKeyDNS=no",
        "NoHostAuthenticationForLocalhost=no",
    } <= set(options(host_key="ssh-ed25519 AAAA"))


@pytest.mark.parametrize(
    "pins",
    [{}, {"host_key": "ssh-rsa A+/="}, {"known_hosts": "hosts/100% ours"}],
    ids=["nothing", "key", "file"],
)
def test_what_a_state_holds_of_a_host_leads_back_to_it(pins: dict[str, str]) -> None:
    assert Where.of_options(FAR, options(**pins)) == Where(docker=FAR, **pins)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("far", "'far' is not reached over SSH; write ssh://USER@HOST, or leave HOST out"),
        ("unix:///var/run/docker.sock", "is not reached over SSH"),
        ("ssh://far", "'ssh://far' names no user; write ssh://USER@HOST"),
        ("ssh://me:secret@far", "'ssh://me:…@far' holds a password"),
        ("ssh://-oProxyCommand=x@far", "is not a user and a host"),
        ("ssh://me@far:0", "has port 0"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(url: str, words: str) -> None:
    assert words in fault(url)
    assert fault(url).startswith("HOST: ")


CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /root/.ssh/known_hosts:1
Host key for [far]:2222 has changed and you have requested strict checking.
Host key verification failed."""
UNKNOWN = """\
No ED25519 host key is known for [far]:2222 and you have requested strict checking.
Host key verification failed."""


@pytest.mark.parametrize(
    ("errors", "seen", "remedy"),
    [
        (
            CHANGED,
            "its host key is not the one that your known_hosts has for [far]:2222: it was "
            "installed anew, or another machine answers in its place",
            "`ssh-keygen -R '[far]:2222'`",
        ),
        (
            UNKNOWN,
            "its host key is not in your known_hosts, so nobody can tell that it is the right "
            "machine",
            "`ssh-keyscan -p 2222 far | ssh-keygen -lf -`",
        ),
        (
            "me@far: Permission denied (publickey).",
            "it does not let the user 'me' in (me@far: Permission denied (publickey))",
            "until `ssh -l me -p 2222 far true` asks nothing",
        ),
        (
            "Received disconnect from 10.0.0.5 port 2222:2: Too many authentication failures",
            "it does not let the user 'me' in (Received disconnect from 10.0.0.5 port 2222:2: "
            "Too many authentication failures)",
            "authorized_keys",
        ),
        (
            "ssh: Could not resolve hostname far: Name or service not known",
            "no name server knows 'far'",
            "correct the host in the URL",
        ),
        (
            "ssh: connect to host far port 2222: Connection refused",
            "nothing listens on its port 2222",
            "start sshd there",
        ),
        (
            "ssh: connect to host far port 2222: Connection timed out",
            "it does not answer on port 2222 "
            "(ssh: connect to host far port 2222: Connection timed out)",
            "firewall",
        ),
        (
            "Timeout, server far not responding.",
            "it does not answer on port 2222 (Timeout, server far not responding)",
            "firewall",
        ),
        (
            "kex_exchange_identification: read: Connection reset by peer\n"
            "Connection reset by 10.0.0.5 port 2222",
            "it ended the connection before the answer (Connection reset by 10.0.0.5 port 2222)",
            "MaxStartups",
        ),
        (
            "/home/me/.ssh/config: line 3: Bad configuration option: hostt\r",
            "ssh failed (/home/me/.ssh/config: line 3: Bad configuration option: hostt)",
            "mend what it names",
        ),
        ("", "ssh failed (it said nothing)", "mend what it names"),
    ],
    ids=lambda value: value.splitlines()[-1][:30] if value else "silence",
)
def test_what_the_client_says_is_told_in_words(
    client: ScriptedSsh, errors: str, seen: str, remedy: str
) -> None:
    client.fails(errors)

    error = refusal()

    assert (error.subject, error.step, error.seen) == (FAR, "looking", seen)
    assert remedy in error.remedy
    assert error.remedy.endswith("then run this again")


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        (CHANGED, RefusedError),
        (UNKNOWN, RefusedError),
        ("me@far: Permission denied (publickey).", RefusedError),
        ("ssh: Could not resolve hostname far: Name or service not known", CutOffError),
        ("ssh: connect to host far port 2222: Connection refused", UnreachableError),
        ("ssh: connect to host far port 2222: No route to host", UnreachableError),
        ("ssh: connect to host far port 2222: Host is down", UnreachableError),
        ("ssh: connect to host far port 2222: Network is down", CutOffError),
        ("ssh: connect to host far port 2222: Network is unreachable", CutOffError),
        ("Timeout, server far not responding.", UnreachableError),
        ("client_loop: send disconnect: Broken pipe", UnreachableError),
        ("Connection reset by 10.0.0.5 port 2222", UnreachableError),
        ("/home/me/.ssh/config: line 3: Bad configuration option: hostt", LifecycleError),
    ],
)
def test_a_host_that_refuses_is_told_from_one_that_is_not_there(
    client: ScriptedSsh, errors: str, kind: type[LifecycleError]
) -> None:
    """Beside the one nothing goes on, as somebody else's machine may answer."""
    client.fails(errors)

    assert type(refusal()) is kind


def test_a_client_that_knows_no_key_without_a_file_says_what_to_do(client: ScriptedSsh) -> None:
    client.fails("command-line: line 0: Bad configuration option: knownhostscommand")

    error = refusal(host_key="ssh-ed25519 AAAA")

    assert "older than 8.5" in error.seen
    assert "`known-hosts`" in error.remedy


def test_a_pinned_key_that_is_another_is_written_anew(client: ScriptedSsh) -> None:
    client.fails(CHANGED)

    error = refusal(host_key="ssh-ed25519 AAAA")

    assert error.seen.startswith("its host key is not the one that `host-key` has for [far]:2222: ")
    assert "write it as `host-key`" in error.remedy


def test_the_file_that_pins_a_changed_key_is_named(client: ScriptedSsh, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pins.touch()
    client.fails(CHANGED)

    error = refusal("ssh://me@far", known_hosts=str(pins))

    assert f"the one that {pins} has for far: " in error.seen
    assert f"`ssh-keygen -R 'far' -f {pins}`" in error.remedy


def test_a_program_that_fails_on_the_host_is_not_taken_for_a_failed_login(
    client: ScriptedSsh,
) -> None:
    client.fails("This account is currently not available.", status=1)

    assert refusal().seen == (
        "a shell program of 'me' fails there "
        "(exit status 1: This account is currently not available)"
    )


def test_a_machine_without_a_client_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    error = refusal()

    assert isinstance(error, CutOffError)
    assert error.seen == "there is no program ssh on this machine"
    assert "openssh-client" in error.remedy


def test_a_client_that_never_ends_is_ended_with_what_it_started(
    client: ScriptedSsh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proxy holds the client's standard error open and would keep the reader waiting."""
    monkeypatch.setattr(ssh, "RUN_TIMEOUT_S", 2)
    client.does(f"sleep 60 & echo $! >{tmp_path}/proxy; wait")
    begun = time.monotonic()

    error = refusal()

    assert error.seen == "it did not answer within 2 s"
    assert time.monotonic() - begun < 20
    assert is_gone(int((tmp_path / "proxy").read_text()))


def is_gone(pid: int) -> bool:
    """Whether the process has ended; an orphan may stay a zombie until its new parent looks."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_the_time_that_a_silent_host_costs_is_bounded() -> None:
    """The client's own limits end it before the last resort does, with a better message."""
    told = dict(option.split("=", 1) for option in options()[1::2])
    alive = int(told["ServerAliveInterval"]) * int(told["ServerAliveCountMax"])

    assert int(told["ConnectTimeout"]) + alive < ssh.RUN_TIMEOUT_S == 30
    assert told["ConnectionAttempts"] == "1"
