"""Uploads become runs: each object once, many of them one run. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from chalicelib.clock import Clock
from chalicelib.retraining.gateways import LONGEST_DELAY_SECONDS, Look, Looks
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.run import Run, Trigger
from chalicelib.retraining.store import AT_ONCE, RetrainingStore, Stale
from chalicelib.retraining.upload import Upload


@dataclass(frozen=True)
class Collecting:
    store: RetrainingStore
    looks: Looks
    bucket: str
    now: Clock

    def take(self, uploads: Iterable[Upload]) -> int:
        """Add uploads, of whatever tenants and policies, to the runs that they are for.

        Returns:
            How many were taken; those of no policy, and those that came before, are not.
        """
        ours = sorted((each for each in uploads if each.bucket == self.bucket), key=lambda each: each.tenant)
        taken = 0
        for tenant, of_tenant in groupby(ours, key=lambda each: each.tenant):
            found = list(of_tenant)
            for policy in self.store.policies(tenant):
                if policy.enabled and (covered := [each for each in found if policy.source.covers(each.key)]):
                    taken += self._take(policy, _latest(covered))
        return taken

    def _take(self, policy: RetrainingPolicy, uploads: Sequence[Upload]) -> int:
        taken = 0
        for start in range(0, len(uploads), AT_ONCE):
            taken += self._take_some(policy, uploads[start : start + AT_ONCE])
        # Also where all of them came before: the call that took them may have died before it sent this.
        self._have_looked_at(policy)
        return taken

    def _take_some(self, policy: RetrainingPolicy, uploads: Sequence[Upload]) -> int:
        while True:
            now = self.now()
            run = self.gathering(policy)
            if run is None:
                # A run is begun by what is new: not by an event that comes a second time, nor by deletions.
                fresh = self.store.are_new(policy, uploads)
                if not any(not each.is_deletion for each in fresh):
                    self.store.forget(policy, fresh, now)
                    return 0
            try:
                run = run or self.begin(policy, Trigger.UPLOAD, policy.user)
                return self.store.gather(run, uploads, now, policy.source.completes)
            except Stale:
                continue

    def gathering(self, policy: RetrainingPolicy) -> Run | None:
        """The run that takes objects now."""
        number = self.store.standing(policy.tenant, policy.policy_id).gathering
        return self.store.run(policy.tenant, policy.policy_id, number) if number else None

    def begin(self, policy: RetrainingPolicy, trigger: Trigger, user: str) -> Run:
        """
        Raises:
            Stale: another run was begun meanwhile.
        """
        now, standing = self.now(), self.store.standing(policy.tenant, policy.policy_id)
        run = Run(
            tenant=policy.tenant,
            policy_id=policy.policy_id,
            number=standing.last + 1,
            user=user,
            trigger=trigger,
            opened_at=now,
            updated_at=now,
            last_at=now,
        )
        self.store.open(run, standing)
        return run

    def _have_looked_at(self, policy: RetrainingPolicy) -> None:
        """Send the word that the gathering run is to be looked at, unless it is on its way."""
        run, now = self.gathering(policy), self.now()
        if run is None or (policy.source.marker is not None and not run.is_complete):
            return
        if run.is_complete or not _is_awaited(run, now):
            self.have_looked_at(run, policy)

    def have_looked_at(self, run: Run, policy: RetrainingPolicy) -> None:
        """Send the word that a run is to be looked at when it may be due."""
        now = self.now()
        seconds = max(0.0, min(LONGEST_DELAY_SECONDS, (due_at(run, policy) - now).total_seconds()))
        self.looks.send(Look(run.tenant, run.policy_id, run.number), seconds)
        self.store.await_look(run, now + timedelta(seconds=seconds))


def due_at(run: Run, policy: RetrainingPolicy) -> datetime:
    """When a run is due, if nothing more comes."""
    if run.is_complete or run.trigger is Trigger.PERSON:
        return run.opened_at
    quiet = run.last_at + timedelta(seconds=policy.debounce_seconds)
    return min(quiet, run.opened_at + timedelta(seconds=policy.longest_seconds))


def is_due(run: Run, policy: RetrainingPolicy, now: datetime) -> bool:
    """Whether a run has waited as long as it is to; with a marker it waits for that."""
    if policy.source.marker is not None and not run.is_complete and run.trigger is not Trigger.PERSON:
        return False
    return now >= due_at(run, policy)


def _is_awaited(run: Run, now: datetime) -> bool:
    """Whether a word that it is to be looked at is on its way; one that is late by a minute is taken for lost."""
    return run.look_at is not None and now < run.look_at + timedelta(minutes=1)


def _latest(uploads: Iterable[Upload]) -> list[Upload]:
    """The last event of each object."""
    latest: dict[str, Upload] = {}
    for each in uploads:
        if each.key not in latest or latest[each.key].sequencer < each.sequencer:
            latest[each.key] = each
    return list(latest.values())
