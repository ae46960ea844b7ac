"""A rig that answers, as tests use it."""

from dataclasses import dataclass

import docker

from lifecycle.reach import Where, reach
from tests.rig import machine
from tests.rig.place import Place, Running


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

    def administer(self, command: str, *, timeout_s: float = 180) -> str:
        """Run *command* as root, which the program never is."""
        return machine.run(
            self.place, self.running, command, administrator=True, timeout_s=timeout_s
        )
