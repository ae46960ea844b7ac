"""Every row of the table of wrong settings, as `python -m planner` prints it."""

from pathlib import Path

import pytest

from planner import __main__ as program
from tests.planner.wrong_settings import TABLE, Wrong, faults_beside, read_table, write_world

ROWS = read_table()

LEAST_ROWS = 40


def test_the_table_is_read_whole() -> None:
    headings = [line for line in TABLE.read_text().splitlines() if line.startswith("### ")]

    assert [f"### {row.title}" for row in ROWS] == headings
    assert len({row.title for row in ROWS}) == len(ROWS) >= LEAST_ROWS


@pytest.mark.parametrize("row", ROWS, ids=[row.title for row in ROWS])
def test_a_wrong_setting_is_refused_in_the_words_of_the_table(
    row: Wrong,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if row.other:
        assert list(faults_beside(row)) == row.told.splitlines()
        return
    write_world(tmp_path, row)
    monkeypatch.chdir(tmp_path)

    status = program.main(["Pulumi.x.yaml"])

    printed = capsys.readouterr()
    assert status == 1
    assert printed.out == ""
    assert printed.err == "".join(f"error: {line}\n" for line in row.told.splitlines())


@pytest.mark.parametrize("row", ROWS, ids=[row.title for row in ROWS])
def test_a_message_names_what_to_write_and_blames_nobody(row: Wrong) -> None:
    lowered = row.told.lower()

    assert "invalid" not in lowered
    assert "please" not in lowered
    assert row.told.strip()
