"""What is read of the events that Docker tells of containers."""

import pytest

from tests.engine.docker_events import Event


def test_an_event_has_its_time_what_happened_and_to_which_container() -> None:
    told = {
        "Action": "oom",
        "timeNano": 1_796_074_149_250_000_000,
        "Actor": {"ID": "4f", "Attributes": {"name": "ovms-numa-dev-local-node0-0"}},
    }

    event = Event.of(told)

    assert (event.action, event.container) == ("oom", "ovms-numa-dev-local-node0-0")
    assert event.at == pytest.approx(1_796_074_149.25, abs=1e-3)
