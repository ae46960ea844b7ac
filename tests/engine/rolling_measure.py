"""One change of a stack's settings, brought up while clients ask."""

from collections.abc import Mapping
from typing import Any

from tests.engine.bench_requests import Request
from tests.engine.openness import Openness
from tests.engine.rolling_changes import Change, Settings
from tests.engine.rolling_load import Clients, Mix
from tests.engine.rolling_report import Measured
from tests.engine.stack import Run, Stack
from tests.engine.test_up import INSTANCES


def measure(
    stack: Stack, change: Change, now: dict[str, dict[str, Any]], mix: Mix
) -> tuple[Measured, tuple[Run, ...]]:
    """
    Bring *change* up on *stack* while clients ask.

    Args:
        stack: which serves.
        change: what is done.
        now: the changes that were made before, which *change* is added to.
        mix: who asks how much.

    Returns:
        What was measured, and the runs of the command line.

    Raises:
        RuntimeError: an update failed; says what the command line did.
    """
    runs = []
    endpoint = stack.outputs()["endpoint"]
    with Clients(endpoint, mix, pooled=change.pooled, paced=change.exempt) as clients:
        clients.until_all_answer(_planned(now))
        with Openness(stack) as openness:
            for settings in change.settings:
                _lay(settings, over=now)
                stack.configure(now)
                runs.append(stack.up())
                if runs[-1].status:
                    raise RuntimeError(runs[-1].output)
        if not change.exempt:
            clients.until_all_answer(_planned(now))
        records = clients.end()
    measured = Measured(
        name=change.name,
        pooled=change.pooled,
        exempt=change.exempt,
        update_s=openness.seconds,
        least_open=openness.least,
        instances=openness.most,
        requests=tuple(Request.of(record, openness.began) for record in records),
    )
    return measured, tuple(runs)


def _planned(now: Mapping[str, Mapping[str, Any]]) -> int:
    return int(now.get("placement", {}).get("instances-per-node", len(INSTANCES)))


def _lay(settings: Settings, *, over: dict[str, dict[str, Any]]) -> None:
    for section, values in settings.items():
        over[section] = {**over.get(section, {}), **values}
