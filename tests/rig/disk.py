"""The disk that a rig is started from: the root file system, stocked with images and models."""

import tempfile
import time
from pathlib import Path

from images.commands import say
from tests.rig import machine, made, stock
from tests.rig.place import Place

_LOAD = (
    "tar --extract --file=/dev/vdc --directory=/ srv/models && "
    "tar --extract --to-stdout --file=/dev/vdc srv/images.tar | docker load"
)
_LOAD_S = 600


def stocked() -> Path:
    """
    Make sure that the disk is there; a guest is started once to fill it.

    Raises:
        RigError: the guest did not start, or did not take what it is stocked with.
        StageError: packages, images or models could not be had.
    """
    below = made.guest().disk
    made.emulator()
    target = made.folder() / f"disk-{below.parent.name}-{stock.key()}"
    for unfinished in made.once(target):
        _fill(below, unfinished / "disk.qcow2")
    return target / "disk.qcow2"


def _fill(below: Path, disk: Path) -> None:
    started = time.monotonic()
    # Beside the disk: /tmp may be another file system, which nothing is renamed from.
    with tempfile.TemporaryDirectory(prefix="rig-", dir=disk.parent) as name:
        place, tar = Place(Path(name)), Path(name) / "stock.tar"
        stock.write_stock(tar)
        say("rig: loading images and models into a disk that is kept (about two minutes)")
        plan = machine.Plan(
            topology="2-nodes", disk=below, extra=tar, ssh_port=machine.free_port(), ports=()
        )
        try:
            running = machine.start(place, plan)
            machine.run(place, running, _LOAD, administrator=True, timeout_s=_LOAD_S)
            machine.power_off(place, running)
            place.disk.rename(disk)
        finally:
            machine.stop(place)
    say(f"rig: stocked a disk in {time.monotonic() - started:.0f} s")
