"""What the planner can refuse, each with words that an operator can act on."""


class PlanError(Exception):
    """
    Something that keeps a plan from being made.

    Attributes:
        faults: every fault found, one sentence of fact and one of remedy each; never empty.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__(*faults)
        self.faults: tuple[str, ...] = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class CpuListError(PlanError):
    """Text that is not a list of CPUs (or of memory nodes) as Linux and Docker write it."""


class TopologyError(PlanError):
    """A host's description lacks something that a plan needs, or contradicts itself."""


class SettingsError(PlanError):
    """A stack's settings that cannot be; `faults` names all of them at once."""


class PlacementError(PlanError):
    """Settings that are well formed but do not fit the host; `faults` names all at once."""
