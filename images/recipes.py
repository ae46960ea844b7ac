"""
The images' recipes: where they are, where their contexts are staged, what identifies them.

Imported by the Pulumi program, so importing it reads nothing and starts nothing.
"""

import hashlib
from pathlib import Path
from typing import Final

IMAGES: Final = ("base", "nginx", "devserver", "model")
"""Every recipe; ``model`` is staged like the others but is data, not an image."""

_HERE: Final = Path(__file__).parent


def recipe_dir(name: str) -> Path:
    """
    Say where the recipe *name* is.

    Raises:
        KeyError: there is no such recipe.
    """
    if name not in IMAGES:
        raise KeyError(f"no recipe {name!r}: there are {', '.join(IMAGES)}")
    return _HERE / name


def context_dir(name: str) -> Path:
    """Say where the context of *name* is staged, relative to the project root."""
    return Path(".staged") / recipe_dir(name).name


def recipe_hash(name: str) -> str:
    """
    Identify the recipe *name* by what it says: 12 hex digits.

    Covers the path inside the recipe, the executable bit and the content of every file, not its
    times and not where the project lies. The recipe that this one stands on is not in it.

    Raises:
        KeyError: there is no such recipe.
    """
    return folder_hash(recipe_dir(name))


def folder_hash(folder: Path) -> str:
    """Identify the files under *folder* by path, executable bit and content: 12 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(_files(folder), key=lambda found: found.relative_to(folder).as_posix()):
        content = path.read_bytes()
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        relative = path.relative_to(folder).as_posix()
        # Lengths keep two different trees from making the same stream of bytes.
        digest.update(f"{len(relative)} {relative} {mode} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]
