"""In which order instances are replaced, and which waits for which."""

from collections.abc import Iterable


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
