from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lifecycle.world import World, stand_up

GOLDEN = Path(__file__).parents[1] / "data" / "lifecycle"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with stand_up(tmp_path, monkeypatch) as standing:
        yield standing


@pytest.fixture
def golden() -> Callable[[str], str]:
    """Reads a message as it was agreed on."""
    return lambda name: (GOLDEN / f"{name}.txt").read_text().rstrip("\n")
