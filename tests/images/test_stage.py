"""When a context is made, and what is left where making one failed."""

from pathlib import Path

import pytest

from images import __main__, stage
from images.errors import StageError

Calls = list[Path]


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    """Fill contexts with one file; the list grows by each folder that was filled."""
    calls: Calls = []

    def fill(folder: Path) -> None:
        calls.append(folder)
        (folder / "Dockerfile").write_text(f"# {len(calls)}\n")

    monkeypatch.setattr(stage, "FILL", {"nginx": fill})
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_second_call_finds_what_the_first_made(filled: Calls, tmp_path: Path) -> None:
    first = stage.stage("nginx", tmp_path)
    second = stage.stage("nginx", tmp_path)

    assert first == second
    assert len(filled) == 1


def test_the_result_is_one_line_without_this_machine_s_paths(filled: Calls, tmp_path: Path) -> None:
    line = stage.stage("nginx", tmp_path)

    assert filled
    assert line.startswith("nginx ")
    assert ".staged/nginx" in line
    assert str(tmp_path) not in line
    assert "\n" not in line


def test_another_recipe_is_staged_anew(
    filled: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.stage("nginx", tmp_path)
    monkeypatch.setattr(stage, "recipe_hash", lambda _: "0" * 12)

    stage.stage("nginx", tmp_path)

    assert len(filled) == 2
    assert (tmp_path / ".staged/nginx/Dockerfile").read_text() == "# 2\n"


def test_a_context_that_somebody_removed_is_made_again(filled: Calls, tmp_path: Path) -> None:
    stage.stage("nginx", tmp_path)
    (tmp_path / ".staged/nginx").rename(tmp_path / "elsewhere")

    stage.stage("nginx", tmp_path)

    assert len(filled) == 2


def test_a_failure_leaves_the_earlier_context_and_no_rubbish(
    filled: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.stage("nginx", tmp_path)
    before = sorted(path.name for path in (tmp_path / ".staged").iterdir())
    monkeypatch.setattr(stage, "recipe_hash", lambda _: "0" * 12)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise StageError("the mirror is away. Wait for it.")

    monkeypatch.setattr(stage, "FILL", {"nginx": fail})
    with pytest.raises(StageError, match="mirror"):
        stage.stage("nginx", tmp_path)

    assert len(filled) == 1
    assert (tmp_path / ".staged/nginx/Dockerfile").read_text() == "# 1\n"
    after = sorted(path.name for path in (tmp_path / ".staged").iterdir())
    assert after == [name for name in before if name != ".nginx.stamp"]


def test_what_a_killed_call_left_is_swept_away(filled: Calls, tmp_path: Path) -> None:
    left = tmp_path / ".staged" / ".nginx.new-dead"
    left.mkdir(parents=True)
    (left / "half").touch()

    stage.stage("nginx", tmp_path)

    assert len(filled) == 1
    assert not left.exists()


def test_the_command_says_what_failed_on_stderr_and_ends_with_1(
    filled: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> None:
        raise StageError("mmdebstrap is not here. Set images.base.")

    monkeypatch.setattr(stage, "FILL", {"nginx": fail})

    code = __main__.main(["stage", "nginx"])

    captured = capsys.readouterr()
    assert not filled
    assert code == 1
    assert captured.out == ""
    assert "staging nginx: mmdebstrap is not here. Set images.base." in captured.err
