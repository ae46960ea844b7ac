from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from planner.errors import SettingsError
from planner.settings import (
    BalancerSettings,
    HostSettings,
    ModelSettings,
    PlacementSettings,
    RolloutSettings,
    ServerSettings,
    parse_settings,
)

nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=3,
)


def keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def nonsense_for(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    return nonsense | st.dictionaries(st.sampled_from(keys_of(model)), nonsense, max_size=4)


@given(
    st.fixed_dictionaries(
        {"hosts": nonsense | st.fixed_dictionaries({"box": nonsense_for(HostSettings)})},
        optional={
            "placement": nonsense_for(PlacementSettings),
            "server": nonsense_for(ServerSettings),
            "models": nonsense_for(ModelSettings),
            "balancer": nonsense_for(BalancerSettings),
            "rollout": nonsense_for(RolloutSettings),
        },
    )
)
def test_any_nonsense_is_refused_in_our_own_words(data: dict[str, Any]) -> None:
    try:
        parse_settings(data, "Pulumi.x.yaml")
        faults: tuple[str, ...] = ()
    except SettingsError as error:
        faults = error.faults

    assert all(fault.startswith("Pulumi.x.yaml: ") for fault in faults)
    assert not any("Input should" in fault for fault in faults)
