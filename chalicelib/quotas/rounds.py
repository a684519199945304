"""The daily check of all tenants, in as many parts as it takes: a function may run for fifteen minutes only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from chalicelib.clock import Clock
from chalicelib.quotas.check import QuotaCheck, Report
from chalicelib.quotas.position import Position
from chalicelib.quotas.store import QuotaStore, Round


@dataclass(frozen=True)
class Rounds:
    """
    Args:
        monotonic: seconds, for when to stop.
    """

    store: QuotaStore
    checking: QuotaCheck
    now: Clock
    monotonic: Callable[[], float]

    def go_on(self, seconds: float) -> Iterator[tuple[str, Report, bool]]:
        """Go on with today's round where it stopped, for about so long; nothing where it is over.

        Yields:
            A tenant, what was found of it, and whether it has been checked to its end. Where the round has come to is kept
            before that, so that a repetition does not begin anew.
        """
        today = self.now().date().isoformat()
        at = self.store.round()
        if at is None or (at.is_over and at.day != today):
            at = Round(today)
        if at.is_over:
            return
        until = self.monotonic() + seconds
        for tenant in self.store.tenants_after(at.tenant):
            position = Position.decode(at.position) if at.position else Position()
            report, rest = self.checking.step(tenant, position, until)
            at = replace(at, position=rest.encode()) if rest else replace(at, tenant=tenant, position=None)
            self.store.keep_round(at)
            yield tenant, report, rest is None
            if self.monotonic() >= until:
                return
        self.store.keep_round(replace(at, is_over=True))
