"""The state that previews are timed on, made from previews of a scripted engine."""

from typing import Any

import pytest

from bench.state import UNKNOWN, settle

STACK = "urn:pulumi:bench::ovms-numa::pulumi:pulumi:Stack::ovms-numa-bench"
COMMAND = "urn:pulumi:bench::ovms-numa::command:local:Command::state-id"
VOLUME = "urn:pulumi:bench::ovms-numa::docker:index/volume:Volume::models"
PROVIDER = "urn:pulumi:bench::ovms-numa::pulumi:providers:command::default_1_2_1"


def planned(urn: str, **inputs: Any) -> dict[str, Any]:
    kind = urn.split("::")[2]
    state = {"urn": urn, "custom": urn != STACK, "type": kind, "inputs": inputs}
    return state | ({"provider": f"{PROVIDER}::{UNKNOWN}"} if urn == COMMAND else {})


class Engine:
    """An engine whose volume takes the command's output, known once that is in the state."""

    def __init__(self, *, settles: bool = True) -> None:
        self.settles = settles
        self.stored: dict[str, dict[str, Any]] = {}

    def preview(self) -> dict[str, Any]:
        label = self.stored[COMMAND]["outputs"]["stdout"] if self.stored else UNKNOWN
        states = [
            planned(STACK),
            planned(COMMAND, create="identity"),
            planned(VOLUME, name="models-1", labels=[{"__defaults": [], "value": label}]),
        ]
        return {
            "steps": [{"op": self.op(one), "urn": one["urn"], "newState": one} for one in states]
        }

    def op(self, state: dict[str, Any]) -> str:
        known = self.stored.get(state["urn"], {}).get("inputs")
        if known is None:
            return "create"
        return "same" if self.settles and known == state["inputs"] else "update"

    def store(self, deployment: dict[str, Any]) -> None:
        self.stored = {one["urn"]: one for one in deployment["resources"]}


def test_the_state_is_what_a_preview_has_nothing_to_change_in() -> None:
    engine = Engine()

    assert settle(engine.preview, engine.store) == 4
    assert [step["op"] for step in engine.preview()["steps"]] == ["same"] * 3
    assert engine.stored[VOLUME]["outputs"]["labels"] == [{"value": "{}"}]


def test_a_volume_s_id_is_its_name() -> None:
    engine = Engine()
    settle(engine.preview, engine.store)

    assert engine.stored[VOLUME]["id"] == "models-1"
    assert "id" not in engine.stored[STACK]


def test_providers_that_previews_do_not_show_are_recorded_before_what_needs_them() -> None:
    engine = Engine()
    settle(engine.preview, engine.store)

    urns = list(engine.stored)
    assert urns.index(PROVIDER) < urns.index(COMMAND)
    assert engine.stored[PROVIDER]["inputs"] == {"version": "1.2.1"}
    assert engine.stored[COMMAND]["provider"] == f"{PROVIDER}::{engine.stored[PROVIDER]['id']}"


def test_what_changes_for_ever_is_told() -> None:
    engine = Engine(settles=False)

    with pytest.raises(
        RuntimeError, match=r"still to change after 10 previews: update urn:.*Stack"
    ):
        settle(engine.preview, engine.store)
