"""In which order instances are replaced, and which waits for which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """
    In which order the instances of a stack are touched.

    Attributes:
        order: all of them; earlier ones are replaced first.
        waits_for: for an instance the one that must be active before it is touched.
    """

    order: tuple[str, ...]
    waits_for: Mapping[str, str]


def plan_rollout(
    plan: Plan, serving: Mapping[str, frozenset[str]], max_unavailable: int
) -> Rollout:
    """
    Order the instances of *plan* over all hosts.

    Args:
        plan: of the stack.
        serving: the instances that serve now, by their host; those of a host that is left out,
            because it was not looked at, may be serving.
        max_unavailable: how many may be out of service together, >= 1.
    """
    unseen = frozenset(one.name for one in plan.placements if one.host not in serving)
    seen = frozenset(name for names in serving.values() for name in names)
    order = rolling_order((one.name for one in plan.placements), seen, unseen)
    return Rollout(order=order, waits_for=waits_for(order, seen | unseen, max_unavailable))


def rolling_order(
    names: Iterable[str], serving: frozenset[str], unseen: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """
    Order instances for a rolling update.

    Those that do not serve come first: else one that is down and one that is being replaced
    would be down together. Those that were not seen come last, so that a host that nobody reaches
    keeps no other from being updated.

    Returns:
        All *names*: those neither *serving* nor *unseen*, those serving, those unseen; each part
        by name.
    """
    return tuple(sorted(names, key=lambda name: (name in unseen, name in serving, name)))


def waits_for(
    order: tuple[str, ...], serving: frozenset[str], max_unavailable: int
) -> dict[str, str]:
    """
    Tell which instance must be active before another is touched.

    Args:
        order: the rolling order.
        serving: those that serve now; where none does, nothing can be lost and all start at once.
        max_unavailable: how many may be out of service together, >= 1.

    Returns:
        For each instance the one *max_unavailable* places before it; none for the first ones.
    """
    if not serving.intersection(order):
        return {}
    return dict(zip(order[max_unavailable:], order[:-max_unavailable], strict=True))
