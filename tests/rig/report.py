"""What faults of its host cost the stack on the rig: ``docs/measurements/rig.md``."""

import os
from dataclasses import dataclass, field

from tests.engine.faults_measured import Measured, kinds
from tests.engine.stack import ROOT
from tests.rig.under_load import MIX

_FILE = ROOT / "docs" / "measurements" / "rig.md"
_WRITE = "OVMS_NUMA_WRITE_RIG"

_HEAD = """\
# Faults of the host, on the rig

Written by `make rig-report`; docs/rig.md says what the rig is.
The host is emulated: QEMU runs its 8 CPUs on {cpus} real ones, many times slower than hardware.
The model is the generated `tiny`, so that loading it is starting Python and OpenVINO.
{clients} clients begin 3 short requests and 0.3 streams in a second meanwhile, and send nothing twice.
After each, the lists of every process are the plan's, and `pulumi preview` has nothing to do.

| what | seconds until every instance generates and the balancer answers | in flight | lost | new requests | failed |
|---|---|---|---|---|---|
"""  # noqa: E501 - lines of Markdown


@dataclass(slots=True)
class Report:
    """The faults, in the order they were measured."""

    measured: list[Measured] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        """Add a row."""
        self.measured.append(measured)

    def write(self) -> None:
        """Write the rows to the file, where that was asked for."""
        if os.environ.get(_WRITE) == "1" and self.measured:
            head = _HEAD.format(cpus=os.cpu_count(), clients=MIX.clients + MIX.streams)
            _FILE.write_text(head + "".join(map(_row, self.measured)))


def _row(one: Measured) -> str:
    cells = (
        one.what.name,
        "-" if one.healed_s is None else f"{one.healed_s:.0f}",
        str(one.in_flight),
        kinds(one.lost),
        str(len(one.new)),
        kinds(one.failed),
    )
    return f"| {' | '.join(cells)} |\n"
