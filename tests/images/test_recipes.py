"""What identifies a recipe."""

import os
import shutil
from pathlib import Path

import pytest

from images.recipes import IMAGES, context_dir, folder_hash, recipe_dir, recipe_hash


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "one" / "recipe"
    (folder / "inner").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "inner" / "tool.py").write_text("print(1)\n")
    return folder


@pytest.mark.parametrize("name", IMAGES)
def test_every_recipe_has_a_short_hash_and_a_context_inside_the_project(name: str) -> None:
    assert len(recipe_hash(name)) == 12
    assert int(recipe_hash(name), 16) >= 0
    assert context_dir(name) == Path(".staged") / name


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="base, nginx, devserver, model"):
        recipe_dir("ubuntu")


def test_times_caches_and_the_place_of_a_recipe_are_not_part_of_its_identity(
    recipe: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "two"
    shutil.copytree(recipe, copy)
    os.utime(copy / "Dockerfile", (1, 1))
    (copy / "inner" / "__pycache__").mkdir()
    (copy / "inner" / "__pycache__" / "tool.cpython-311.pyc").write_bytes(b"x")

    assert folder_hash(copy) == folder_hash(recipe)


def test_content_name_and_executable_bit_are_part_of_it(recipe: Path) -> None:
    seen = {folder_hash(recipe)}
    tool = recipe / "inner" / "tool.py"

    tool.write_text("print(2)\n")
    seen.add(folder_hash(recipe))
    tool.chmod(0o755)
    seen.add(folder_hash(recipe))
    tool.rename(recipe / "inner" / "other.py")
    seen.add(folder_hash(recipe))
    (recipe / "inner" / "other.py").rename(recipe / "other.py")
    seen.add(folder_hash(recipe))

    assert len(seen) == 5


def test_moving_bytes_from_one_file_to_the_next_is_seen(tmp_path: Path) -> None:
    for name, first, second in (("left", "ab", "c"), ("right", "a", "bc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_text(first)
        (tmp_path / name / "2").write_text(second)

    assert folder_hash(tmp_path / "left") != folder_hash(tmp_path / "right")
