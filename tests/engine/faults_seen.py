"""What Docker, the balancer's log and its files say of a fault, put together."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.engine import balancer_log
from tests.engine.balancer_log import BalancerLog, Sent
from tests.engine.docker_events import Event
from tests.engine.faults import Struck
from tests.engine.faults_measured import Down
from tests.engine.faults_site import Site
from tests.engine.openness import Look


class Servers(Protocol):
    """What is asked of a `Site`; times in seconds of the wall clock."""

    def upstream(self, instance: str) -> str:
        """Return ADDRESS:PORT of *instance*."""

    @property
    def servers(self) -> Mapping[str, tuple[str, int]]:
        """The instances, with their addresses and ports."""

    def loaded(self, instance: str, since: float) -> float | None:
        """Return when a model of *instance* was first loaded after *since*."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What was seen of a fault; times in seconds of the wall clock.

    Attributes:
        site: the instances.
        struck_at: when it struck.
        ahead: how far the wall clock is ahead of `time.monotonic`, which the looks have.
        looks: at the balancer's files.
        log: of the balancer, from then on.
        starts: when the container of each instance started since.
        out_of_memory: the instances that the kernel ended a process of.
    """

    site: Servers
    struck_at: float
    ahead: float
    looks: Sequence[Look]
    log: BalancerLog
    starts: Mapping[str, Sequence[float]]
    out_of_memory: frozenset[str]

    @classmethod
    def of(
        cls, site: Site, struck: Struck, looks: Sequence[Look], events: Sequence[Event]
    ) -> "Seen":
        """Read what there is of a fault that is over."""
        ahead = time.time() - time.monotonic()
        at = struck.at + ahead
        names = {f"{site.stack.prefix}-{name}": name for name in site.servers}
        its = [(names[one.container], one) for one in events if one.container in names]
        return cls(
            site=site,
            struck_at=at,
            ahead=ahead,
            looks=looks,
            log=balancer_log.read(site.stack.container("balancer"), at),
            starts={
                name: [one.at for of, one in its if of == name and one.action == "start"]
                for name in site.servers
            },
            out_of_memory=frozenset(name for name, one in its if one.action == "oom"),
        )

    def tried(self, sent: Sent, instances: Sequence[str]) -> bool:
        """Tell whether a request was sent to one of *instances*."""
        return any(sent.status_at(self.site.upstream(name)) is not None for name in instances)

    def new_until(self, healed_s: float | None) -> list[Sent]:
        """Return the requests that began after it struck, until all was as before."""
        end = float("inf") if healed_s is None else self.struck_at + healed_s
        return [sent for sent in self.log.sent if self.struck_at < sent.began < end]

    def is_stuck(self, sent: Sent, downs: Sequence[Down]) -> bool:
        """Tell whether a new request was sent to an instance that did not answer it."""
        return any(
            sent.status_at(self.site.upstream(down.instance)) not in (None, "200")
            and sent.began < self.struck_at + (down.restarted_s or float("inf"))
            for down in downs
        )

    def downs(self) -> Iterator[Down]:
        """Tell of each instance that was closed or restarted."""
        for name in self.site.servers:
            starts = [at for at in self.starts.get(name, ()) if at > self.struck_at]
            changes = self._changes(name)
            if not changes and not starts:
                continue
            closings = [at for at, opened in changes if not opened]
            openings = [at for at, opened in changes if opened]
            restarted = min(starts, default=None)
            loaded = None if restarted is None else self.site.loaded(name, restarted)
            early = self._early(name, restarted, min(openings, default=loaded))
            yield Down(
                instance=name,
                reason=self._reason(name),
                closed_s=self._since(min(closings, default=None)),
                restarted_s=self._since(restarted),
                load_s=round(loaded - restarted, 1) if loaded and restarted else None,
                opened_s=self._since(changes[-1][0] if changes and changes[-1][1] else None),
                closings=len(closings),
                restarts=len(starts),
                early=len(early),
                kept=sum(sent.tries[-1][0] == self.site.upstream(name) for sent in early),
                out_of_memory=name in self.out_of_memory,
            )

    def _changes(self, name: str) -> list[tuple[float, bool]]:
        """Return when Nginx loaded that *name* is closed, and opened, since it struck."""
        changes, is_open, before = [], True, self.struck_at
        for look in self.looks:
            at = look.at + self.ahead
            if at <= self.struck_at:
                continue
            if (name in look.opened) != is_open:
                is_open = not is_open
                loaded = self.log.loaded_after(before)
                changes.append((at if loaded is None or loaded > at + 1 else loaded, is_open))
            before = at
        return changes

    def _reason(self, name: str) -> str:
        start = self.struck_at - self.ahead
        reasons = [look.unwell.get(name, "") for look in self.looks if look.at > start]
        return next((reason for reason in reasons if reason), "")

    def _early(self, name: str, restarted: float | None, served: float | None) -> list[Sent]:
        if restarted is None:
            return []
        end = float("inf") if served is None else served
        return [
            sent
            for sent in self.log.sent
            if restarted < sent.began < end and self.tried(sent, (name,))
        ]

    def _since(self, at: float | None) -> float | None:
        return None if at is None else round(at - self.struck_at, 1)
