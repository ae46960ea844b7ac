import os
import shutil
from pathlib import Path

import pytest

from lifecycle.errors import LifecycleError
from lifecycle.listing import parse, program, read_files
from lifecycle.probe import PATTERNS, topology_of
from lifecycle.reach import Where
from lifecycle.ssh import SshHost
from tests.lifecycle.scripted_ssh import ScriptedSsh
from tests.planner.worlds import make_host, sysfs_of

HOST = SshHost.parse(Where(docker="ssh://me@far"))
SHELLS = [shell for shell in ("dash", "bash", "busybox sh", "sh") if shutil.which(shell.split()[0])]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedSsh:
    return ScriptedSsh(tmp_path / "bin", monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "host"


def write(root: Path, files: dict[str, str]) -> dict[str, str]:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return files


def cpu_seconds() -> float:
    """What this process and those that it waited for have used."""
    return sum(os.times()[:4])


def seen() -> str:
    with pytest.raises(LifecycleError) as refused:
        read_files(HOST, PATTERNS)
    assert (refused.value.subject, refused.value.step) == (HOST.where.docker, "reading its files")
    return refused.value.seen


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_read_as_they_are_by_every_shell(
    client: ScriptedSsh, root: Path, shell: str
) -> None:
    files = write(
        root,
        {
            "a/one0": "x\n",
            "a/one1": "\n",
            "a/one10": "  a:b = c\\n\t\n\nF d\n",
            "a/many words": "no pattern has this\n",
            "b": "=\n",
        },
    )
    (root / "a/one2").mkdir()
    client.is_host(root, shell)

    read = read_files(HOST, ("a/one[0-9]*", "b", "c", "d[0-9]*/e"))

    assert read == {path: text for path, text in files.items() if path != "a/many words"}


def test_a_host_with_256_cpus_is_read_in_less_than_a_second_of_cpu_time(
    client: ScriptedSsh, root: Path
) -> None:
    nodes = {n: [f"{cpu},{cpu + 128}" for cpu in range(n * 32, n * 32 + 32)] for n in range(4)}
    files = sysfs_of(nodes)
    for cpu in range(256):
        base = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{base}/online"] = "1\n"
        files[f"{base}/topology/core_cpus_list"] = files[f"{base}/topology/thread_siblings_list"]
        files[f"{base}/topology/thread_siblings"] = f"{','.join(['00000000'] * 8)}\n"
    write(root, files)
    client.is_host(root)

    seconds = []
    for _ in range(3):
        begun = cpu_seconds()
        read = read_files(HOST, PATTERNS)
        seconds.append(cpu_seconds() - begun)

    assert min(seconds) < 1
    assert read == files
    assert topology_of(read) == make_host(nodes)


def test_what_a_login_shell_prints_is_left_out(client: ScriptedSsh, root: Path) -> None:
    write(root, {"b": "1\n"})
    client.does(f"echo Welcome: you; sed 's|^cd /$|cd {root}|' | sh; echo Bye")

    assert read_files(HOST, ("b",)) == {"b": "1\n"}


def test_a_host_without_any_of_the_files_has_none(client: ScriptedSsh, root: Path) -> None:
    root.mkdir()
    client.is_host(root)

    assert read_files(HOST, ("b",)) == {}


def test_the_program_only_reads() -> None:
    text = program(("a/one[0-9]*", "b"))

    assert ">" not in text.replace("2>/dev/null", "").replace(">/dev/null", "").replace(">&2", "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("cat >/dev/null", "its shell did not run the program"),
        ("cat >/dev/null; echo 'Only SFTP here.'", "its shell did not run the program"),
        ("sed 's|^cd /$|cd ROOT|' | sh | head -n 2", "its answer ends in the middle"),
        (
            "sed 's|^cd /$|cd ROOT|' | sh | sed '2s/.*/wall/'",
            "its answer holds a line that is of no file: 'wall'",
        ),
    ],
    ids=["no shell", "another program", "cut off", "noise between"],
)
def test_an_answer_that_is_not_whole_is_refused(
    client: ScriptedSsh, root: Path, script: str, words: str
) -> None:
    write(root, {"sys/devices/system/cpu/online": "0-3\n", "sys/devices/system/node/online": "0\n"})
    client.does(script.replace("ROOT", str(root)))

    assert seen() == words


def test_a_host_without_grep_says_so(client: ScriptedSsh, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shell = shutil.which("sh")
    client.does(f"PATH={tmp_path}/empty\n{shell}")

    assert "(exit status 127: there is no grep)" in seen()


def test_an_answer_without_files_is_whole() -> None:
    assert parse("ovms-numa files begin\novms-numa files end\n") == {}
