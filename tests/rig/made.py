"""
What the rig is made of, from Debian's packages: QEMU, and the root file system of its guest.

Both lie in ``~/.cache/ovms-numa/rig``, named after their recipe, and are made once.
"""

import hashlib
import os
import platform
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.cache import making
from images import debian
from images.commands import cache_dir, run, say
from images.recipes import folder_hash
from tests.rig.errors import RigError

_GUEST: Final = Path(__file__).parent / "guest"
_DISK_BYTES: Final = 8 << 30
_REMEDY: Final = "Look at apt's sources and at the disk's free space, then run it again."


@dataclass(frozen=True, slots=True)
class Emulator:
    """QEMU, in a folder that it is run from without being installed."""

    root: Path

    def command(self, program: str) -> list[str]:
        """Return the words that begin a command line of *program*, such as ``qemu-img``."""
        libraries = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
        return [
            str(self.root / "lib64/ld-linux-x86-64.so.2"),
            "--library-path",
            ":".join(str(self.root / path) for path in libraries),
            str(self.root / "usr/bin" / program),
        ]

    @property
    def firmware(self) -> list[str]:
        """The options that name the folders of QEMU's own files."""
        folders = ("usr/share/qemu", "usr/share/seabios")
        return [word for path in folders for word in ("-L", str(self.root / path))]

    @property
    def environment(self) -> dict[str, str]:
        """The environment that QEMU finds its modules by."""
        return {**os.environ, "QEMU_MODULE_DIR": str(self.root / "usr/lib/x86_64-linux-gnu/qemu")}


@dataclass(frozen=True, slots=True)
class Guest:
    """The root file system of the emulated host, and the kernel that is started with it."""

    folder: Path

    @property
    def disk(self) -> Path:
        """An ext4 file system, the whole disk; never written to."""
        return self.folder / "root.ext4"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd.img"


def folder() -> Path:
    """Say where all that the rig is made of lies."""
    return cache_dir().parent / "rig"


def once(target: Path) -> Iterator[Path]:
    """
    Yield a folder to fill, which becomes *target*; nothing where that is there.

    What is there is not waited for: a guest that fills a disk is itself made of what is there.
    """
    if not target.exists():
        with making(target) as unfinished:
            if unfinished is not None:
                yield unfinished


def emulator() -> Emulator:
    """
    Make sure that QEMU is there.

    Raises:
        RigError: it cannot be made here.
        StageError: Debian's packages could not be had.
    """
    recipe = _recipe()
    asked = [recipe["suite"], str(recipe["fetched"]), *recipe["emulator"]]
    target = folder() / f"qemu-{hashlib.sha256(' '.join(asked).encode()).hexdigest()[:12]}"
    for unfinished in once(target):
        say(f"rig: getting {', '.join(recipe['emulator'])} of {recipe['suite']} (20 s)")
        _bootstrap(recipe, "apt", recipe["emulator"], unfinished)
    return Emulator(target)


def guest() -> Guest:
    """
    Make sure that the guest's root file system is there.

    Raises:
        RigError: it cannot be made here.
        StageError: Debian's packages could not be had.
    """
    target = folder() / f"guest-{folder_hash(_GUEST)}"
    for unfinished in once(target):
        _make_guest(unfinished)
    return Guest(target)


def _make_guest(unfinished: Path) -> None:
    recipe = _recipe()
    say(f"rig: making the root file system of the guest from {recipe['suite']} (about a minute)")
    made, tree = Guest(unfinished), unfinished / "tree"
    hooks = [
        f"--essential-hook=sync-in {_GUEST / 'files'} /",
        f"--customize-hook={_GUEST / 'finish.sh'}",
    ]
    units = {name.upper(): " ".join(recipe[name]) for name in ("masked", "enabled")}
    _bootstrap(recipe, "minbase", recipe["guest"], tree, hooks, units)
    for pattern, file in (("vmlinuz-*", made.kernel), ("initrd.img-*", made.initrd)):
        (booted,) = (tree / "boot").glob(pattern)
        booted.rename(file)
    with made.disk.open("wb") as disk:
        disk.truncate(_DISK_BYTES)
    # Without loop devices, which need more rights; QEMU is the only one that writes.
    options = ["-q", "-F", "-m", "0", "-O", "^has_journal,^metadata_csum"]
    lazy = ["-E", "lazy_itable_init=1,nodiscard"]
    run(["mkfs.ext4", *options, *lazy, "-d", tree, made.disk], remedy=_REMEDY)
    run(["rm", "-rf", tree], remedy=_REMEDY)


def _bootstrap(
    recipe: Mapping[str, Any],
    variant: str,
    packages: Sequence[str],
    target: Path,
    hooks: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> None:
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        raise RigError(
            f"the rig is made on an x86_64 machine by root, and this is user {os.geteuid()} on "
            f"{platform.machine()}. Run it as root on such a machine, or leave the rig's tests out "
            "with `make check` and `make engine-test`"
        )
    debian.install_mmdebstrap()
    run(
        [
            "mmdebstrap", "--quiet", "--mode=root", f"--variant={variant}", "--format=directory",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe["leave-out"]),
            *(f"--dpkgopt=path-include={pattern}" for pattern in recipe["keep"]),
            "--dpkgopt=force-unsafe-io",
            # The guest's own configuration is there before the packages that ask about it.
            "--dpkgopt=force-confold",
            *hooks, recipe["suite"], target, *debian.find_archive().sources(recipe["suite"]),
        ],
        env=env,
        remedy=_REMEDY,
    )  # fmt: skip


def _recipe() -> dict[str, Any]:
    return tomllib.loads((_GUEST / "recipe.toml").read_text())
