"""
What the rig's disk is stocked with: the stack's images, and models small enough to be emulated.

Building images in the guest, as the Docker provider does it on a host, takes minutes there. So this
machine's Docker builds them, from the contexts that the provider takes, and a guest loads them once
into a disk that is kept.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Final

from images.commands import run, say
from images.recipes import context_dir, recipe_hash
from images.stage import stage
from tests.rig import model
from tests.rig.place import ROOT

IMAGES: Final = ("base", "nginx", "devserver")
"""Recipes of the images, a base before those that stand on it."""

TAG: Final = "rig"

_LOADED: Final = ("nginx", "devserver")
_REMEDY: Final = "See that Docker runs here (`make docker`) and has space, then run it again."


def reference(recipe: str) -> str:
    """Return the name of an image, as Pulumi.rig.yaml has it."""
    return f"ovms-numa-{TAG}/{recipe}:{TAG}"


def key() -> str:
    """Identify what the disk is stocked with."""
    sources = b"".join(Path(source).read_bytes() for source in (__file__, model.__file__))
    hashes = " ".join(map(recipe_hash, IMAGES)).encode()
    return hashlib.sha256(hashes + sources).hexdigest()[:12]


def write_stock(tar: Path) -> None:
    """
    Write the guest's folder ``srv`` as *tar*: ``srv/images.tar`` and ``srv/models/NAME``.

    Raises:
        StageError: a context could not be staged, or Docker failed.
    """
    with tempfile.TemporaryDirectory(prefix="ovms-numa-rig-") as name:
        _fill(Path(name))
        words = ["tar", "--create", "--owner=0", "--group=0", "--directory", name]
        run([*words, "--file", tar, "srv"], remedy=_REMEDY)


def _fill(folder: Path) -> None:
    folder.chmod(0o755)
    models = folder / "srv" / "models"
    models.mkdir(parents=True)
    build_images()
    say("rig: making models")
    for name in model.SHAPES:
        make_model(models, name)
    names = [reference(recipe) for recipe in _LOADED]
    run(["docker", "save", "--output", folder / "srv/images.tar", *names], remedy=_REMEDY)


def build_images() -> None:
    """
    Build the images of `Pulumi.rig.yaml` with this machine's Docker.

    Raises:
        StageError: a context could not be staged, or Docker failed.
    """
    for recipe in IMAGES:
        stage(recipe, ROOT)
        say(f"rig: building {reference(recipe)}")
        base = [] if recipe == "base" else ["--build-arg", f"BASE={reference('base')}"]
        words = ["docker", "build", "--quiet", "--tag", reference(recipe), *base]
        run([*words, ROOT / context_dir(recipe)], remedy=_REMEDY)


def make_model(models: Path, name: str) -> None:
    """
    Write the source of the model *name* into *models*, and convert it as a stack converts its own.

    Raises:
        StageError: Docker failed.
    """
    folder = models / name
    folder.mkdir()
    folder.chmod(0o777)
    model.write_gguf(folder / "source.gguf", model.SHAPES[name])
    run(
        [
            "docker", "run", "--rm", "--network", "none", "--volume", f"{folder}:/made",
            "--entrypoint", "python3", reference("devserver"), "-m", "devserver.convert",
            "--gguf", "/made/source.gguf", "--output", "/made", "--name", name,
        ],
        remedy=_REMEDY,
    )  # fmt: skip
    (folder / "source.gguf").unlink()
    folder.chmod(0o755)
