import pytest

from planner.nginx.upstream import servers_of, values_of

ONE, TWO = "10.0.0.16:8000", "10.0.0.18:8002"


@pytest.mark.parametrize(
    ("told", "servers"),
    [
        ("", ()),
        (ONE, (ONE,)),
        (f"{ONE}, {TWO}", (ONE, TWO)),
        (f"{ONE} : {TWO}", (ONE, TWO)),
        (f"{ONE}, {TWO} : {ONE}", (ONE, TWO, ONE)),
        ("model_servers", ()),
        ("model_servers : model_servers", ()),
        (f"{ONE} : overflow", (ONE,)),
    ],
)
def test_servers_are_told_from_groups_in_the_order_of_the_tries(
    told: str, servers: tuple[str, ...]
) -> None:
    assert servers_of(told) == servers


def test_a_try_without_a_value_keeps_its_place() -> None:
    assert values_of("0.001, - : 0.250") == ("0.001", "-", "0.250")
