"""A run that is due becomes a training job, as the policy says. Every step may be repeated."""

from __future__ import annotations

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
from chalicelib.retraining.rules import manifest_key, month_of, request_of
from chalicelib.retraining.run import DataVersion, Run, RunStatus, Trigger
from chalicelib.retraining.schema import differences, from_json, profile, to_json
from chalicelib.retraining.store import RetrainingStore, Stale, Standing

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
        ended: told of a job that ended before it was known to be a run's.
    """

    store: RetrainingStore
    collecting: Collecting
    jobs: JobService
    data: Data
    looks: Looks
    ended: Callable[[Run, Job | None], object]
    now: Clock

    def look(self, look: Look) -> None:
        """Make a job of a run if it is due, or have it looked at again."""
        while True:
            run = self.store.run(look.tenant, look.policy_id, look.number)
            policy = self.store.policy(look.tenant, look.policy_id)
            if run is None:
                return
            if run.status not in {RunStatus.GATHERING, RunStatus.STARTING}:
                # The call that ended it may have died before it had the next one looked at.
                self._have_next_looked_at(run, self.store.standing(run.tenant, run.policy_id))
                return
            try:
                if policy is None or not policy.enabled:
                    self._end(run, RunStatus.REFUSED, "The policy was removed or switched off.")
                elif run.status is RunStatus.STARTING or self._takes_no_more(run, policy):
                    self._start(self._there(run), policy)
            except Stale:
                continue
            return

    def _there(self, run: Run) -> Run:
        """As it is recorded now.

        Raises:
            Stale: it is gone.
        """
        found = self.store.run(run.tenant, run.policy_id, run.number)
        if found is None:
            raise Stale
        return found

    def _takes_no_more(self, run: Run, policy: RetrainingPolicy) -> bool:
        """Whether a job is to be made of a gathering run now.

        Raises:
            Stale: something came for it meanwhile.
        """
        if not is_due(run, policy, self.now()):
            self.collecting.have_looked_at(run, policy)
            return False
        arrived = [each for each in self.store.arrived(run) if not policy.source.is_marker(each.key)]
        kept = [each for each in arrived if not each.is_deletion]
        size = sum(each.size for each in kept)
        if run.trigger is not Trigger.PERSON and not (kept and policy.enough(len(kept), size)):
            self._wait_for_more(run, policy)
            return False
        standing = self.store.standing(run.tenant, run.policy_id)
        if standing.training is not None and not self._may_begin(run, policy, standing):
            return False
        after = replace(standing, gathering=None, training=run.number)
        stand = self.store.stand(run, standing, after)
        now = self.now()
        self.store.change(run, run.starting(len(kept), size, now), now, stand)
        return True

    def _wait_for_more(self, run: Run, policy: RetrainingPolicy) -> None:
        self.store.await_look(run, None)
        # What came between the count and this found a word on its way, and sent none.
        now = self._there(run)
        if now.last_at != run.last_at:
            self.collecting.have_looked_at(now, policy)

    def _may_begin(self, run: Run, policy: RetrainingPolicy, standing: Standing) -> bool:
        """While the job of the run before has not ended.

        Raises:
            Stale: something else happened meanwhile.
        """
        match policy.concurrency:
            case Concurrency.QUEUE:
                # It goes on gathering; the end of that job has it looked at.
                return False
            case Concurrency.SKIP:
                self._end(run, RunStatus.SKIPPED, f"The job of run {standing.training} had not ended.")
                return False
        before = self.store.run(run.tenant, run.policy_id, standing.training or 0)
        if before is not None and before.job_id is not None:
            try:
                self.jobs.cancel(_caller(policy), before.job_id)
            except (Conflict, NotFound):
                return True  # It has ended by itself, or is gone.
        return True

    def _start(self, run: Run, policy: RetrainingPolicy) -> None:
        """
        Raises:
            Stale: somebody else is at it.
        """
        standing = self.store.standing(run.tenant, run.policy_id)
        try:
            self._check_budget(policy, standing)
            data = self._data(run, policy)
            seen, warnings = self._check_schema(run, policy, standing)
            job = self._submit(run, policy, data)
        except _Refused as refusal:
            self._end(run, RunStatus.REFUSED, str(refusal))
            return
        except QuotaExceeded as full:
            self._wait_for_quota(run, full)
            return
        training = run.training(job.job_id, data, tuple(warnings), self.now())
        stand = self.store.stand(run, standing, replace(standing, profile=seen))
        recorded = self.store.change(run, training, self.now(), stand, *self.store.of_job(training))
        # Its end may have been told before anybody knew whose job it was.
        now = self.jobs.store.get(job.tenant, job.job_id)
        if now is None or now.status.is_finished:
            self.ended(recorded, now)

    def _check_budget(self, policy: RetrainingPolicy, standing: Standing) -> None:
        month = month_of(self.now())
        spent = standing.spent_in(month)
        if policy.budget_usd is not None and spent >= policy.budget_usd:
            raise _Refused(f"The budget of {policy.budget_usd:g} USD for {month} is spent: {spent:.2f} USD.")

    def _data(self, run: Run, policy: RetrainingPolicy) -> DataVersion:
        try:
            found = self.data.version(run, policy.source.prefix, manifest_key(run), MAX_DATASET_OBJECTS)
        except TooMuch:
            said = (
                f"More than {MAX_DATASET_OBJECTS:,} objects lie below the prefix: pack them into fewer, larger files."
            )
            raise _Refused(said) from None
        if found is None:
            raise _Refused("Nothing lies below the prefix: what came has been deleted.")
        return found

    def _check_schema(self, run: Run, policy: RetrainingPolicy, standing: Standing) -> tuple[str | None, list[str]]:
        if policy.schema_check is SchemaCheck.OFF:
            return standing.profile, []
        came = (each.key for each in self.store.arrived(run) if not each.is_deletion)
        seen = profile(self.data.samples(came, SAMPLES))
        found = differences(from_json(standing.profile), seen)
        if found and policy.schema_check is SchemaCheck.REFUSE:
            raise _Refused(f"The new data is not like the data before. {' '.join(found)}")
        return to_json(seen) if seen else standing.profile, found

    def _submit(self, run: Run, policy: RetrainingPolicy, data: DataVersion) -> Job:
        request = TrainingJobRequest.model_validate(request_of(policy, data.uri))
        try:
            return self.jobs.submit(_caller(policy), request, f"retraining-{run.policy_id}-{run.number}")
        except (QuotaExceeded, Unavailable):
            raise
        except ServiceError as refusal:
            raise _Refused(f"The job was refused: {refusal.detail}") from refusal

    def _wait_for_quota(self, run: Run, full: QuotaExceeded) -> None:
        if self.now() - (run.begun_at or run.opened_at) > LONGEST_WAIT:
            self._end(run, RunStatus.REFUSED, f"The job was refused: {full.detail}")
            return
        self.store.change(run, replace(run, reason=f"It waits: {full.detail}"), self.now())
        self.looks.send(Look(run.tenant, run.policy_id, run.number), LONGEST_DELAY_SECONDS)

    def _end(self, run: Run, status: RunStatus, reason: str) -> None:
        """
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
        self._have_next_looked_at(run, after)

    def _have_next_looked_at(self, run: Run, standing: Standing) -> None:
        """The run that gathers may have been due while this one waited for a place in the quota."""
        if standing.gathering is not None:
            self.looks.send(Look(run.tenant, run.policy_id, standing.gathering), 0)


def _caller(policy: RetrainingPolicy) -> Caller:
    """By the service, for the one who set the policy: nobody sent a request for this."""
    return Caller(policy.tenant, policy.user, frozenset({Role.USER.value}))
