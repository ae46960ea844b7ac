"""What a stack promises of faults, and whether what was measured kept it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.engine.faults_measured import Down, Measured, seconds

NOTICED_S = 5.0
STUCK_SHARE = 0.02
BACK_S = 15.0
QUEUED_S = 60.0

_KILLER = "a killing request"
_SERVER = "SIGKILL of a server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    A goal beside what was seen.

    Attributes:
        goal: in words.
        seen: in numbers.
        met: whether it was reached; None: it was not measured.
    """

    goal: str
    seen: str
    met: bool | None


def verdicts(measured: Sequence[Measured], sockets: Sequence[str]) -> tuple[Verdict, ...]:
    """
    Compare *measured* with each goal.

    Args:
        measured: every run of every fault.
        sockets: the mounts of Docker's socket that the stack's containers have.
    """
    servers = [one for one in measured if one.what.kills and not one.what.balances]
    balancer = [one for one in measured if one.what.kills and one.what.balances]
    hostile = [one for one in measured if one.hostile]
    waiting = [one for one in servers if one.what.retry == "waiting"]
    killers = [one for one in measured if one.what.name == _KILLER]
    return (
        _none_failed("after a kill of a server no new request fails", servers),
        _none_failed("after a kill of a process of the balancer no new request fails", balancer),
        _none_failed("no ordinary request fails beside hostile clients", hostile),
        _none_lost_waiting([one for one in waiting if one.what.name == _SERVER]),
        _noticed([one for one in measured if one.what.hangs]),
        _not_stuck([one for one in measured if one.what.hangs]),
        _queue_is_no_hang([one for one in measured if one.what.queues]),
        _back(_restarted(measured)),
        _none_early(_restarted(measured)),
        _none_kept(_restarted(measured)),
        _only_struck(measured),
        _killed("unsent", 1, killers),
        _killed("waiting", 2, killers),
        Verdict(
            goal="no container mounts the Docker socket",
            seen=", ".join(sockets) or "no mount of it",
            met=not sockets,
        ),
    )


def _restarted(measured: Sequence[Measured]) -> list[Down]:
    return [down for one in measured for down in one.downs if down.restarted_s is not None]


def _none_failed(goal: str, runs: Sequence[Measured]) -> Verdict:
    failed = sum(len(one.failed) for one in runs)
    new = sum(len(one.new) for one in runs)
    worst = ", ".join(sorted({one.what.name for one in runs if one.failed}))
    return Verdict(
        goal=goal,
        seen=_in_runs(f"{failed} of {new} failed", runs) + (f": {worst}" if worst else ""),
        met=failed == 0 if runs else None,
    )


def _none_lost_waiting(runs: Sequence[Measured]) -> Verdict:
    lost = sum(len(one.lost_waiting) for one in runs)
    return Verdict(
        goal="with `retry: waiting` no request that had no first token yet is lost",
        seen=_in_runs(f"{lost} lost", runs),
        met=lost == 0 if runs else None,
    )


def _noticed(runs: Sequence[Measured]) -> Verdict:
    times = [
        next((down.closed_s for down in one.downs if down.instance == victim), None)
        for one in runs
        for victim in one.victims
    ]
    return Verdict(
        goal=f"a hang is noticed within {NOTICED_S:g} s",
        seen=_in_runs(f"{_listed(times)} s", runs),
        met=bool(times) and _all_within(times, NOTICED_S) if runs else None,
    )


def _not_stuck(runs: Sequence[Measured]) -> Verdict:
    shares = ", ".join(f"{one.stuck} of {one.began}" for one in runs)
    return Verdict(
        goal=f"at most {STUCK_SHARE:.0%} of the new requests are stuck on it",
        seen=_in_runs(shares, runs),
        met=all(one.stuck_share <= STUCK_SHARE for one in runs) if runs else None,
    )


def _queue_is_no_hang(runs: Sequence[Measured]) -> Verdict:
    waits = ", ".join(f"{one.longest_wait_s:.0f} s" for one in runs)
    taken = sum(len(one.downs) for one in runs)
    return Verdict(
        goal="a server under a long queue is never taken for hung",
        seen=_in_runs(f"{taken} closed or restarted; the longest wait {waits}", runs),
        met=taken == 0 and min(one.longest_wait_s for one in runs) > QUEUED_S if runs else None,
    )


def _back(downs: Sequence[Down]) -> Verdict:
    late = [
        None if down.opened_s is None or down.load_s is None else down.opened_s - down.load_s
        for down in downs
    ]
    return Verdict(
        goal=f"an instance that crashed or hung is back within its load time and {BACK_S:g} s",
        seen=f"{_listed(late)} s above it" if downs else "not measured",
        met=_all_within(late, BACK_S) if downs else None,
    )


def _none_early(downs: Sequence[Down]) -> Verdict:
    early = sum(down.early for down in downs)
    return Verdict(
        goal="no request is sent to it before it has generated",
        seen=f"{early} in {len(downs)} restarts" if downs else "not measured",
        met=early == 0 if downs else None,
    )


def _none_kept(downs: Sequence[Down]) -> Verdict:
    kept = sum(down.kept for down in downs)
    return Verdict(
        goal="what is sent to it before, and refused as it loads, another instance answers",
        seen=f"{kept} stayed there, in {len(downs)} restarts" if downs else "not measured",
        met=kept == 0 if downs else None,
    )


def _only_struck(runs: Sequence[Measured]) -> Verdict:
    others = [(one.what.name, down.instance) for one in runs for down in one.others]
    where = ", ".join(sorted({name for name, _ in others}))
    return Verdict(
        goal="no instance is closed or restarted that nothing struck",
        seen=_in_runs(f"{len(others)} were", runs) + (f": {where}" if others else ""),
        met=not others if runs else None,
    )


def _killed(retry: str, most: int, killers: Sequence[Measured]) -> Verdict:
    runs = [one for one in killers if one.what.retry == retry]
    cost = [sum(down.restarted_s is not None for down in one.downs) for one in runs]
    default = " (the default)" if retry == "unsent" else ""
    return Verdict(
        goal=f"with `retry: {retry}`{default} a killing request costs {most} at most, never all",
        seen=_in_runs(", ".join(map(str, cost)), runs),
        # Where none died the request did not do what it is for.
        met=all(1 <= count <= most for count in cost) if runs else None,
    )


def _all_within(times: Sequence[float | None], limit_s: float) -> bool:
    return all(time is not None and time <= limit_s for time in times)


def _listed(times: Sequence[float | None]) -> str:
    return ", ".join(map(seconds, times)) or "none"


def _in_runs(seen: str, runs: Sequence[Measured]) -> str:
    return f"{seen}, in {len(runs)} runs" if runs else "not measured"
