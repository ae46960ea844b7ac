"""Fetch from the Debian archive that this machine's apt is set up with, also from other suites."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from images.commands import run, say
from images.errors import StageError

KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Debian's own keys (package debian-archive-keyring): apt's default on every Debian release."""

_TARGETS: Final = "$(SITE)|$(RELEASE)|$(ORIGIN)|$(CREATED_BY)"
_NO_DEBIAN: Final = (
    "Run this on Debian, or set images.base and balancer.image to image references "
    "that a registry has."
)


@dataclass(frozen=True, slots=True)
class Archive:
    """
    Where Debian is fetched from.

    Attributes:
        main: the site of the archive, as apt's sources name it.
        security: the site of the security archive, or None when apt has none.
    """

    main: str
    security: str | None

    def sources(self, suite: str) -> tuple[str, ...]:
        """List the apt source lines of *suite*, with its security updates if it has them."""
        lines = [f"deb [signed-by={KEYRING}] {self.main} {suite} main"]
        # Testing and unstable get their fixes through the main archive.
        if self.security and suite not in {"forky", "sid"}:
            lines.append(f"deb [signed-by={KEYRING}] {self.security} {suite}-security main")
        return tuple(lines)


def find_archive() -> Archive:
    """
    Learn from apt's own configuration where this machine gets Debian from.

    Raises:
        StageError: apt is missing, or none of its sources is Debian's.
    """
    if not KEYRING.is_file():
        raise StageError(f"{KEYRING} is not here, so Debian cannot be verified. {_NO_DEBIAN}")
    text = run(["apt-get", "indextargets", "--format", _TARGETS], remedy=_NO_DEBIAN)
    if not text.strip():
        # apt lists a target only once its index was fetched: a fresh machine has none.
        say("asking apt which archive it is set up with")
        with _private_apt(()) as apt:
            _update(apt)
            text = run(["apt-get", *apt, "indextargets", "--format", _TARGETS], remedy=_NO_DEBIAN)
    return parse_archive(text)


def parse_archive(text: str) -> Archive:
    """
    Find Debian's sites in what ``apt-get indextargets`` printed.

    Args:
        text: lines of ``site|release|origin|created by``.

    Raises:
        StageError: no line is of Debian's main archive.
    """
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 3]
    debian = [(site, release) for site, release, origin, _ in rows if origin == "Debian"]
    main = [site for site, release in debian if re.fullmatch(r"[a-z]+(-updates)?", release)]
    security = [site for site, release in debian if release.endswith("-security")]
    if not main:
        raise StageError(f"none of apt's {len(rows)} sources here is Debian's. {_NO_DEBIAN}")
    return Archive(main=main[0], security=security[0] if security else None)


def install_mmdebstrap() -> None:
    """
    Make sure that mmdebstrap is here; as root on Debian, install it.

    Raises:
        StageError: it is missing and this user cannot install it, or the installation failed.
    """
    if shutil.which("mmdebstrap"):
        return
    remedy = "Install it with: apt-get install mmdebstrap (as root), or set images.base."
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise StageError(f"mmdebstrap, which makes the base image, is not here. {remedy}")
    say("installing mmdebstrap")
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(install, remedy=remedy, env=quiet)
    except StageError:
        # A fresh machine has no package lists, and old ones name files that are gone.
        _update(())
        run(install, remedy=remedy, env=quiet)


def _update(options: Sequence[str]) -> None:
    """Fetch package lists; one source of many that fails must not stop what needs another."""
    with suppress(StageError):
        run(["apt-get", *options, "update"], remedy="")


def download(suite: str, packages: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """
    Fetch *packages* of *suite* into *folder*, checked against the archive's signature.

    Args:
        suite: for example ``forky``; need not be the suite that this machine runs.
        packages: names, without what they depend on.
        folder: exists and is empty.

    Returns:
        The .deb files, sorted by name.

    Raises:
        StageError: the archive has no such package, or could not be reached.
    """
    remedy = f"Look at the packages that the recipe names, and whether {suite} still has them."
    with _private_apt(find_archive().sources(suite)) as apt:
        run(["apt-get", *apt, "update"], remedy=remedy)
        run(["apt-get", *apt, "download", *packages], remedy=remedy, cwd=folder)
    return tuple(sorted(folder.glob("*.deb")))


@contextmanager
def _private_apt(sources: Sequence[str]) -> Iterator[list[str]]:
    """
    Lend options that give apt lists and a cache of its own, so that the machine's stay as they are.

    Args:
        sources: the source lines to use; none means the machine's own.
    """
    with tempfile.TemporaryDirectory(prefix="ovms-numa-apt-") as name:
        folder = Path(name)
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        options = {
            "Dir::State::lists": str(folder / "lists"),
            "Dir::Cache": str(folder / "cache"),
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "3",
        }
        if sources:
            (folder / "sources.list").write_text("\n".join(sources) + "\n")
            options["Dir::Etc::sourcelist"] = str(folder / "sources.list")
            options["Dir::Etc::sourceparts"] = "/dev/null"
            # A mirror may hold a testing suite that is weeks old. This lets its age pass; its
            # signature is checked all the same.
            options["Acquire::Check-Valid-Until"] = "false"
        yield [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
