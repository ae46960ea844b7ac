"""How long the stack on the rig takes to serve again: ``docs/measurements/rig.md``."""

import os
from dataclasses import dataclass, field

from tests.engine.stack import ROOT

_FILE = ROOT / "docs" / "measurements" / "rig.md"
_WRITE = "OVMS_NUMA_WRITE_RIG"

_HEAD = """\
# Restarts on the rig

Written by `make rig-report`; docs/rig.md says what the rig is.
The host is emulated: QEMU runs its 8 CPUs on {cpus} real ones, many times slower than hardware.
The model is the generated `tiny`, so that loading it is starting Python and OpenVINO.
After each, the lists of every process are the plan's, and `pulumi preview` has nothing to do.

| what | seconds until every instance generates and the balancer answers |
|---|---|
"""


@dataclass(slots=True)
class Report:
    """The measured times, in the order they were measured."""

    times: list[tuple[str, float]] = field(default_factory=list)

    def add(self, what: str, seconds: float) -> None:
        """Add a row."""
        self.times.append((what, seconds))

    def write(self) -> None:
        """Write the rows to the file, where that was asked for."""
        if os.environ.get(_WRITE) == "1" and self.times:
            rows = (f"| {what} | {seconds:.0f} |\n" for what, seconds in self.times)
            _FILE.write_text(_HEAD.format(cpus=os.cpu_count()) + "".join(rows))
