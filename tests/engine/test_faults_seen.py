"""When an instance was down and what was sent to it, out of looks and log lines with times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.engine.balancer_log import BalancerLog, Sent
from tests.engine.faults_measured import Down
from tests.engine.faults_seen import Seen
from tests.engine.openness import Look, look_at

STRUCK = 1000.0
AHEAD = 900.0
"""The looks' clock is behind by this."""
A, B = "local-node0-0", "local-node0-1"
ADDRESSES = {A: "10.0.0.1:8000", B: "10.0.0.2:8002"}


@dataclass
class Place:
    """Stands in for a site: when its models were loaded."""

    servers: Mapping[str, tuple[str, int]] = field(
        default_factory=lambda: {A: ("10.0.0.1", 8000), B: ("10.0.0.2", 8002)}
    )
    starts: Mapping[str, Sequence[float]] = field(default_factory=dict)
    loads: Mapping[str, float] = field(default_factory=dict)

    def upstream(self, instance: str) -> str:
        return ADDRESSES[instance]

    def loaded(self, instance: str, since: float) -> float | None:
        at = self.loads.get(instance)
        return at if at is not None and at > since else None


def look(after_s: float, *opened: str, reason: str = "") -> Look:
    names = frozenset((A, B))
    unwell = dict.fromkeys(names - set(opened), reason) if reason else {}
    return Look(STRUCK - AHEAD + after_s, names, frozenset(opened), unwell)


def sent(after_s: float, *tries: tuple[str, str], took_s: float = 1.0) -> Sent:
    began = STRUCK + after_s
    named = tuple((ADDRESSES[name], status) for name, status in tries)
    return Sent(began=began, ended=began + took_s, tries=named, status=200)


def seen(
    place: Place, looks: tuple[Look, ...], *requests: Sent, reloads: tuple[float, ...] = ()
) -> Seen:
    log = BalancerLog(sent=requests, reloads=tuple(STRUCK + at for at in reloads))
    return Seen(place, STRUCK, AHEAD, looks, log, place.starts, frozenset())


CRASH = Place(starts={A: [1.0, STRUCK + 1]}, loads={A: STRUCK + 31})
LOOKS = (
    look(-0.2, A, B),
    look(0.2, A, B),
    look(0.45, B, reason="its port refuses"),
    look(31.9, B, reason="its port refuses"),
    look(32.1, A, B),
)


def test_an_instance_is_closed_and_open_when_nginx_loaded_that_it_is() -> None:
    (down,) = seen(CRASH, LOOKS, reloads=(-50.0, 0.4, 32.0)).downs()

    assert down == Down(
        instance=A,
        reason="its port refuses",
        closed_s=0.4,
        restarted_s=1.0,
        load_s=30.0,
        opened_s=32.0,
        closings=1,
        restarts=1,
    )


def test_without_a_reload_near_it_the_look_s_own_time_counts() -> None:
    (down,) = seen(CRASH, LOOKS, reloads=(-50.0, 45.0)).downs()

    assert (down.closed_s, down.opened_s) == (0.5, 32.1)


def test_an_instance_that_nobody_closed_is_down_all_the_same_if_it_restarted() -> None:
    (down,) = seen(CRASH, (look(0.2, A, B), look(32.1, A, B))).downs()

    assert (down.closed_s, down.opened_s, down.restarted_s) == (None, None, 1.0)


def test_an_instance_that_was_closed_and_not_restarted_is_down_too() -> None:
    (down,) = seen(Place(), LOOKS, reloads=(0.4, 32.0)).downs()

    assert (down.closed_s, down.opened_s, down.restarted_s, down.load_s) == (0.4, 32.0, None, None)


def test_an_instance_that_is_never_opened_again_has_no_time_of_that() -> None:
    (down,) = seen(CRASH, LOOKS[:4], reloads=(0.4,)).downs()

    assert down.opened_s is None


def test_where_nothing_was_closed_or_restarted_nothing_is_down() -> None:
    assert list(seen(Place(), (look(0.2, A, B),)).downs()) == []


def test_an_instance_that_flaps_is_open_when_it_stays_so() -> None:
    again = (look(33, B), look(34, A, B))

    (down,) = seen(CRASH, LOOKS + again, reloads=(0.4, 32.0, 32.9, 33.9)).downs()
    (closed,) = seen(CRASH, LOOKS + again[:1], reloads=(0.4, 32.0, 32.9)).downs()

    assert (down.closed_s, down.opened_s, down.closings) == (0.4, 33.9, 2)
    assert (closed.opened_s, closed.closings) == (None, 2)


def test_requests_before_an_instance_is_open_again_are_early_and_kept_unless_they_went_on() -> None:
    requests = (
        sent(0.5, (A, "502"), (B, "200")),
        sent(5, (A, "404"), (B, "200")),
        sent(31.5, (B, "200")),
        sent(31.9, (A, "200")),
        sent(32.1, (A, "200")),
    )

    (down,) = seen(CRASH, LOOKS, *requests, reloads=(0.4, 32.0)).downs()

    assert (down.early, down.kept) == (2, 1)


def test_new_requests_are_those_that_began_between_the_fault_and_the_end_of_it() -> None:
    before, after, late = sent(-1, (A, "200")), sent(1, (B, "200")), sent(40, (B, "200"))
    one = seen(CRASH, LOOKS, before, after, late)

    assert one.new_until(32.0) == [after]
    assert one.new_until(None) == [after, late]


def test_a_request_is_stuck_if_a_struck_instance_got_it_and_did_not_answer() -> None:
    one = seen(CRASH, LOOKS)
    downs = [Down(instance=A, restarted_s=8.0)]

    assert one.is_stuck(sent(1, (A, "502")), downs)
    assert one.is_stuck(sent(1, (A, "-"), (B, "200")), downs)
    assert not one.is_stuck(sent(1, (A, "200")), downs)
    assert not one.is_stuck(sent(1, (B, "502")), downs)
    assert not one.is_stuck(sent(9, (A, "404")), downs)


def test_the_kernel_s_kill_for_want_of_memory_is_told() -> None:
    log = BalancerLog(sent=(), reloads=())

    (down,) = Seen(CRASH, STRUCK, AHEAD, LOOKS, log, CRASH.starts, frozenset({A})).downs()

    assert down.out_of_memory


def test_a_look_has_the_members_that_are_open_and_why_others_are_not() -> None:
    files = {
        f"members/{A}.conf": b"server 10.0.0.1:8000 weight=1 max_fails=0;\n",
        f"members/{B}.conf": b"server 10.0.0.2:8002 weight=1 max_fails=0;\n",
        "members/local-node0-2.conf": b"server 10.0.0.3:8004 weight=1 max_fails=0 down;\n",
        f"unwell/{B}": b"its port refuses\n",
        "nginx.conf": b"",
    }

    one = look_at(files, 5.0)

    assert one.members == {A, B, "local-node0-2"}
    assert one.opened == {A}
    assert one.unwell == {B: "its port refuses"}
