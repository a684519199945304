"""A run that is due becomes a training job, as the policy says. Every step may be repeated.

gathering  → closed: it takes no more objects
starting   → prepared: budget, data and schema are checked, and the request is written down; from then on the job may exist
           → submitted, under an idempotency key of the run's: the same request by the same user, however often
training   → its end is asked for, should nobody have told it
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.clock import Clock
from chalicelib.errors import Conflict, NotFound, QuotaExceeded, ServiceError, Unavailable
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Role
from chalicelib.jobs.job import Job
from chalicelib.jobs.request import TrainingJobRequest
from chalicelib.jobs.service import MAX_DATASET_OBJECTS, JobService
from chalicelib.retraining.collecting import Collecting, is_due
from chalicelib.retraining.gateways import LONGEST_DELAY_SECONDS, Data, Look, Looks, TooMuch
from chalicelib.retraining.policy import Concurrency, RetrainingPolicy, SchemaCheck
from chalicelib.retraining.rules import manifests, month_of, request_of
from chalicelib.retraining.run import DataVersion, Run, RunStatus, Trigger
from chalicelib.retraining.schema import differences, from_json, profile, to_json
from chalicelib.retraining.store import RetrainingStore, Stale, Standing
from chalicelib.table import Write

SAMPLES = 10
"""CSV files that the schema check looks into."""

LONGEST_WAIT = timedelta(days=1)
"""For a place in the quota; then a run is refused."""


class _Refused(Exception):
    """No job is made of a run; says why."""


@dataclass(frozen=True)
class Starting:
    """
    Args:
        ended: asks for the end of the job of a run that trains, and for what follows it.
    """

    store: RetrainingStore
    collecting: Collecting
    jobs: JobService
    data: Data
    looks: Looks
    ended: Callable[[Run], object]
    now: Clock

    def look(self, look: Look) -> None:
        """Go on with a run as far as it goes now, or have it looked at again."""
        while True:
            run = self.store.run(look.tenant, look.policy_id, look.number)
            policy = self.store.policy(look.tenant, look.policy_id)
            if run is None:
                return
            try:
                self._go_on(run, policy)
            except Stale:
                continue
            return

    def _go_on(self, run: Run, policy: RetrainingPolicy | None) -> None:
        """
        Raises:
            Stale: something else happened meanwhile.
        """
        is_on = policy is not None and policy.enabled
        match run.status:
            case RunStatus.TRAINING | RunStatus.SUCCEEDED:
                self.ended(run)
            case _ if run.status.is_over:
                # The call that ended it may have died before it had the next one looked at.
                self._have_next_looked_at(self.store.standing(run.tenant, run.policy_id), run)
            case RunStatus.STARTING if run.request is not None:
                self._submit(run)
            case RunStatus.GATHERING | RunStatus.STARTING if policy is None or not is_on:
                self._end(run, RunStatus.REFUSED, "The policy was removed or switched off.")
            case RunStatus.GATHERING if policy is not None:
                if self._is_closed(run, policy):
                    self._prepare(self._there(run), policy)
            case RunStatus.STARTING if policy is not None:
                self._prepare(run, policy)

    def _there(self, run: Run) -> Run:
        """As it is recorded now.

        Raises:
            Stale: it is gone.
        """
        found = self.store.run(run.tenant, run.policy_id, run.number)
        if found is None:
            raise Stale
        return found

    # Closing

    def _is_closed(self, run: Run, policy: RetrainingPolicy) -> bool:
        """Whether a gathering run was due, and takes no more.

        Raises:
            Stale: something else happened meanwhile.
        """
        if not is_due(run, policy, self.now()):
            self.collecting.have_looked_at(run, policy)
            return False
        if run.trigger is not Trigger.PERSON and not policy.enough(*self._arrived(run, policy)):
            self._wait_for_more(run, policy)
            return False
        standing = self.store.standing(run.tenant, run.policy_id)
        if standing.training is None:
            self.store.close(run, standing, self.now())
            return True
        match policy.concurrency:
            case Concurrency.QUEUE:
                # It goes on gathering; the end of the run before has it looked at.
                return False
            case Concurrency.SKIP:
                self._end(run, RunStatus.SKIPPED, f"The job of run {standing.training} had not ended.")
                return False
        self.store.close(run, standing, self.now(), *self._replacing(run, standing.training))
        return True

    def _arrived(self, run: Run, policy: RetrainingPolicy) -> tuple[int, int]:
        """How many objects came for a run and are still there, and how large they are together."""
        sizes = [
            each.size
            for each in self.store.arrived(run)
            if not each.is_deletion and not policy.source.is_marker(each.key)
        ]
        return len(sizes), sum(sizes)

    def _wait_for_more(self, run: Run, policy: RetrainingPolicy) -> None:
        self.store.await_look(run, None)
        # What came between the count and this found a word on its way, and sent none.
        now = self._there(run)
        if now.last_at != run.last_at:
            self.collecting.have_looked_at(now, policy)

    def _replacing(self, run: Run, number: int) -> list[Write]:
        """Stops the run before; writes for the transaction that puts this one in its place."""
        before = self.store.run(run.tenant, run.policy_id, number)
        if before is None or before.status.is_over:
            return []
        if before.job_id is not None:
            self._cancel(before, before.job_id)
            return []
        # Its own next step finds it over; a job that it has made by then is cancelled there.
        now = self.now()
        return [
            self.store.replaced(before, before.ended(RunStatus.SKIPPED, f"Run {run.number} took its place.", now), now)
        ]

    def _cancel(self, run: Run, job_id: str) -> None:
        try:
            self.jobs.cancel(_caller(run.tenant, run.submitter or run.user), job_id)
        except (Conflict, NotFound):
            return  # It has ended by itself, or is gone.

    # Preparing

    def _prepare(self, run: Run, policy: RetrainingPolicy) -> None:
        """
        Raises:
            Stale: somebody else is at it.
        """
        standing = self.store.standing(run.tenant, run.policy_id)
        try:
            self._check_budget(policy, standing)
            data = self._data(run, policy)
            seen, warnings = self._check_schema(run, policy, standing)
        except _Refused as refusal:
            self._end(run, RunStatus.REFUSED, str(refusal))
            return
        objects, size = self._arrived(run, policy)
        prepared = replace(
            run,
            objects=objects,
            size=size,
            data=data,
            warnings=tuple(warnings),
            submitter=policy.user,
            request=json.dumps(request_of(policy, data.uri), separators=(",", ":")),
        )
        stand = self.store.stand(run, standing, replace(standing, profile=seen))
        self._submit(self.store.change(run, prepared, self.now(), stand))

    def _check_budget(self, policy: RetrainingPolicy, standing: Standing) -> None:
        month = month_of(self.now())
        spent = standing.spent_in(month)
        if policy.budget_usd is not None and spent >= policy.budget_usd:
            raise _Refused(f"The budget of {policy.budget_usd:g} USD for {month} is spent: {spent:.2f} USD.")

    def _data(self, run: Run, policy: RetrainingPolicy) -> DataVersion:
        try:
            found = self.data.version(run, policy.source.prefix, manifests(run), MAX_DATASET_OBJECTS)
        except TooMuch as refusal:
            raise _Refused(str(refusal)) from None
        if found is None:
            raise _Refused("Nothing lies below the prefix: what came has been deleted.")
        return found

    def _check_schema(self, run: Run, policy: RetrainingPolicy, standing: Standing) -> tuple[str | None, list[str]]:
        """What the data looks like now, to be kept, and how that differs from the data before."""
        if policy.schema_check is SchemaCheck.OFF:
            return standing.profile, []
        came = [each.key for each in self.store.arrived(run) if not each.is_deletion]
        seen = profile(self.data.samples(came or self.data.keys(policy.source.prefix), SAMPLES))
        found = differences(from_json(standing.profile), seen)
        # Who starts a run by hand has seen that the one before was refused, or takes the data as it is.
        if found and policy.schema_check is SchemaCheck.REFUSE and run.trigger is not Trigger.PERSON:
            raise _Refused(f"The new data is not like the data before. {' '.join(found)}")
        return to_json(seen) or standing.profile, found

    # Submitting

    def _submit(self, run: Run) -> None:
        """
        Raises:
            Stale: somebody else is at it.
        """
        try:
            job = self._job(run)
        except _Refused as refusal:
            self._end(run, RunStatus.REFUSED, str(refusal))
            return
        except QuotaExceeded as full:
            self._wait_for_quota(run, full)
            return
        training = run.training(job.job_id, self.now())
        try:
            run = self.store.change(run, training, self.now(), *self.store.of_job(training))
        except Stale:
            if self._there(run).status.is_over:
                self._cancel(run, job.job_id)
            raise
        # Its end may have been told before anybody knew whose job it was.
        self.ended(run)

    def _job(self, run: Run) -> Job:
        request = TrainingJobRequest.model_validate_json(run.request or "")
        key = f"retraining-{run.policy_id}-{run.number}"
        try:
            return self.jobs.submit(_caller(run.tenant, run.submitter or run.user), request, key)
        except (QuotaExceeded, Unavailable):
            raise
        except ServiceError as refusal:
            raise _Refused(f"The job was refused: {refusal.detail}") from refusal

    def _wait_for_quota(self, run: Run, full: QuotaExceeded) -> None:
        now = self.now()
        if now - (run.closed_at or run.opened_at) > LONGEST_WAIT:
            self._end(run, RunStatus.REFUSED, f"The job was refused: {full.detail}")
            return
        self.store.change(run, replace(run, reason=f"It waits: {full.detail}"), now)
        self.looks.send(Look(run.tenant, run.policy_id, run.number), LONGEST_DELAY_SECONDS)

    def _end(self, run: Run, status: RunStatus, reason: str) -> None:
        """Without a job; the run that waits behind it is looked at.

        Raises:
            Stale: something else happened meanwhile.
        """
        standing = self.store.standing(run.tenant, run.policy_id)
        after = replace(
            standing,
            gathering=None if standing.gathering == run.number else standing.gathering,
            training=None if standing.training == run.number else standing.training,
        )
        now = self.now()
        self.store.change(run, run.ended(status, reason, now), now, self.store.stand(run, standing, after))
        self._have_next_looked_at(after, run)

    def _have_next_looked_at(self, standing: Standing, run: Run) -> None:
        """The run that gathers may have been due while this one was in its way."""
        if standing.gathering is not None and standing.gathering != run.number:
            self.looks.send(Look(run.tenant, run.policy_id, standing.gathering), 0)


def _caller(tenant: str, user: str) -> Caller:
    """By the service, for the one who set the policy: nobody sent a request for this."""
    return Caller(tenant, user, frozenset({Role.USER.value}))
