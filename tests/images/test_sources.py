"""Where contexts' contents come from, and what is refused."""

import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from images import commands, debian, wheels
from images.errors import StageError
from images.recipes import recipe_dir

# What `apt-get indextargets` prints in the format that is asked for; a host is made up.
TARGETS = """\
https://tools.example/apt|stable|Tools|Packages
http://mirror.example/debian-security|bookworm-security|Debian|Packages
http://mirror.example/debian|bookworm-updates|Debian|Packages
http://mirror.example/debian|bookworm|Debian|Packages
"""


def test_the_archive_is_the_one_that_apt_is_set_up_with() -> None:
    archive = debian.parse_archive(TARGETS)

    assert archive.main == "http://mirror.example/debian"
    assert archive.security == "http://mirror.example/debian-security"


def test_stable_comes_with_its_security_updates_and_testing_without() -> None:
    archive = debian.parse_archive(TARGETS)

    assert [line.split()[3] for line in archive.sources("trixie")] == ["trixie", "trixie-security"]
    assert [line.split()[3] for line in archive.sources("forky")] == ["forky"]
    assert all(f"signed-by={debian.KEYRING}" in line for line in archive.sources("forky"))


def test_a_machine_without_debian_in_its_sources_is_told_what_to_set() -> None:
    with pytest.raises(StageError, match=r"none of apt's 1 sources.*images\.base"):
        debian.parse_archive(TARGETS.splitlines()[0])


def test_a_missing_tool_is_named_with_its_remedy() -> None:
    with pytest.raises(StageError, match=r"no-such-tool is not installed here\. Set it\."):
        commands.run(["no-such-tool"], remedy="Set it.")


def test_a_failing_tool_is_quoted(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho one >&2\necho 'the mirror is away' >&2\nexit 3\n")
    tool.chmod(0o755)

    with pytest.raises(StageError, match=r"ended with 3: one / the mirror is away\. Wait\."):
        commands.run([tool], remedy="Wait.")


def test_mmdebstrap_is_not_installed_by_a_user_who_may_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(StageError, match="apt-get install mmdebstrap"):
        debian.install_mmdebstrap()


def test_mmdebstrap_is_installed_by_root_even_where_a_source_of_apt_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    tool = tmp_path / "apt-get"
    tool.write_text(
        f'#!/bin/sh\necho "$1" >> {log}\n'
        'if [ "$1" = update ]; then : > "$0.lists"; exit 100; fi\n'
        '[ -e "$0.lists" ]\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    debian.install_mmdebstrap()

    assert log.read_text().split() == ["install", "update", "install"]


def _wheel(folder: Path, *names: str) -> Path:
    path = folder / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


def test_a_wheel_is_unpacked_without_what_the_recipe_leaves_out(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/a.py", "pkg/libs/gpu.so", "pkg/libs/cpu.so", "pkg/big/x/y")

    wheels.unpack([wheel], tmp_path / "out", leave_out=["pkg/libs/gpu.so*", "pkg/big"])

    left = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/**/*"))
    assert left == ["pkg", "pkg/a.py", "pkg/libs", "pkg/libs/cpu.so"]


def test_a_leave_out_that_matches_nothing_is_a_stale_recipe(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"'pkg/gone' matches nothing"):
        wheels.unpack([_wheel(tmp_path, "pkg/a.py")], tmp_path / "out", leave_out=["pkg/gone"])


def test_a_wheel_with_files_outside_the_library_folder_is_refused(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "pkg/a.py", "pkg-1.data/scripts/tool")

    with pytest.raises(StageError, match=r"pkg-1\.data/scripts/tool"):
        wheels.unpack([wheel], tmp_path / "out", leave_out=[])


@pytest.mark.parametrize("name", ["devserver", "model"])
def test_every_package_of_a_lock_file_is_pinned_and_hashed(name: str) -> None:
    text = (recipe_dir(name) / "requirements.txt").read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.M).strip())

    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_pip_refuses_a_file_with_another_hash_than_the_lock_file_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "pkg-1-py3-none-any.whl", "w") as archive:
        archive.writestr("pkg.py", "x")
        archive.writestr(
            "pkg-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: pkg\nVersion: 1\n"
        )
        archive.writestr("pkg-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("pkg-1.dist-info/RECORD", "")
    lock = tmp_path / "recipe" / "requirements.txt"
    lock.parent.mkdir()
    lock.write_text(f"pkg==1 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    with pytest.raises(StageError, match="pip config list") as refused:
        wheels.fetch(lock, python=None, platforms=())

    assert sys.executable.rsplit("/", 1)[-1] in str(refused.value)
    assert not list((tmp_path / "cache").rglob(".complete"))
    assert not list((tmp_path / "cache").rglob("*.whl"))
