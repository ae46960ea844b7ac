"""A rig that answers, as tests use it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import docker

from images.commands import say
from lifecycle.reach import Where, reach
from tests.rig import machine
from tests.rig.errors import RigError
from tests.rig.place import Place, Running

_BOOT: Final = "cat /proc/sys/kernel/random/boot_id"
# Shutting down takes 15 s, and booting 28 to 100.
_BOOTED_S: Final = 240
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Rig:
    """An emulated host that answers."""

    place: Place
    running: Running

    @property
    def where(self) -> Where:
        """How the program reaches it."""
        return self.place.host(self.running).where

    @property
    def client(self) -> docker.DockerClient:
        """Its Docker engine, over a connection that stands now."""
        return reach(self.where).client

    def run(self, command: str, *, timeout_s: float = 180) -> str:
        """Run *command* as the user that the program logs in as."""
        return machine.run(self.place, self.running, command, timeout_s=timeout_s)

    def reboot(self) -> float:
        """
        Reboot the host, and wait until it answers.

        One boot of a dozen hangs early in the emulated kernel, which loses a timer: that one is
        ended by the machine's switch.

        Returns:
            When the boot that came up was begun, as a monotonic time.

        Raises:
            RigError: it did not come up.
        """
        before = self.run(_BOOT)
        began = time.monotonic()
        # Detached, so that sshd can still say that it was started.
        self.administer("(sleep 1; systemctl reboot) >/dev/null 2>&1 &")
        for attempt in range(1, _ATTEMPTS + 1):
            if attempt > 1:
                machine.reset(self.place)
                began = time.monotonic()
            while time.monotonic() < began + _BOOTED_S:
                with suppress(RigError):
                    if self.run(_BOOT, timeout_s=10) != before:
                        return began
                time.sleep(1)
            say(f"rig: not booted after {_BOOTED_S} s, attempt {attempt} of {_ATTEMPTS}")
        raise RigError(f"it did not boot. See what {self.place.console} ends with")

    def administer(self, command: str, *, timeout_s: float = 180) -> str:
        """Run *command* as root, which the program never is."""
        return machine.run(
            self.place, self.running, command, administrator=True, timeout_s=timeout_s
        )
