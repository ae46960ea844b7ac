"""What the program saw of its stack on the host, and how that enters the declarations."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    The stack on its host, as it was when the program started.

    Attributes:
        incarnations: a word for each thing that is there, by the role it has. It is a label of
            the thing, read back and passed on unchanged; where the thing is gone there is none,
            a new one is made, and the engine replaces what it still believes in.
        drift: for an instance, or `balancer`, what is wrong with it and when that was seen.
        missing_images: references of images that are not there, each with a new word.
        reachable: False where the host was not looked at; then all that depends on having seen
            it stays as the state has it.
    """

    incarnations: Mapping[str, str] = field(default_factory=dict)
    drift: Mapping[str, str] = field(default_factory=dict)
    missing_images: Mapping[str, str] = field(default_factory=dict)
    reachable: bool = True

    def incarnation(self, role: str) -> str:
        """Return the incarnation of what has *role*, a new one where nothing has it."""
        return self.incarnations.get(role) or uuid.uuid4().hex[:8]

    def exists(self, role: str) -> bool:
        """Tell whether something has *role*; where the host was not seen, the state is believed."""
        return role in self.incarnations or not self.reachable

    def unseen(self, *properties: str) -> list[str]:
        """Return the *properties* to leave as the state has them: all where nothing was seen."""
        return [] if self.reachable else list(properties)
