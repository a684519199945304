"""Set, list, change and remove policies; list their runs, and start one by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker, is_id
from chalicelib.errors import Conflict, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.service import JobService
from chalicelib.retraining import rules
from chalicelib.retraining.collecting import Collecting
from chalicelib.retraining.policy import RetrainingPolicy
from chalicelib.retraining.request import RetrainingPolicyRequest
from chalicelib.retraining.run import Run, Trigger
from chalicelib.retraining.store import PolicyPage, RetrainingStore, RunPage, Stale
from chalicelib.table import Write

MAX_POLICIES = 100
"""Of a tenant: each upload is held against all of them."""


@dataclass(frozen=True)
class RetrainingService:
    store: RetrainingStore
    jobs: JobService
    collecting: Collecting
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def create(self, caller: Caller, request: RetrainingPolicyRequest) -> RetrainingPolicy:
        """Say when a model is trained anew. The caller's jobs they are, under the caller's quota.

        Raises:
            InvalidRequest, RefusedValue: what is wrong, by field.
            Conflict: the tenant has as many policies as it may.
        """
        policy = self._checked(caller, request, self.new_id())
        if sum(1 for _ in self.store.policies(caller.tenant)) >= MAX_POLICIES:
            raise Conflict(f"There are {MAX_POLICIES} retraining policies, the most that a tenant may have.")
        self.store.put_policy(None, policy, self._entry(caller, Action.CREATE_RETRAINING_POLICY, policy))
        return policy

    def set(self, caller: Caller, policy_id: str, request: RetrainingPolicyRequest) -> RetrainingPolicy:
        """Replace what a policy says. Runs that gather, and the next ones, go by it; it stays its owner's.

        Raises:
            NotFound: not there, or not this caller's to change.
            InvalidRequest, RefusedValue: what is wrong, by field.
        """
        while True:
            before = self._own(caller, policy_id)
            owner = replace(caller, user=before.user)
            after = before.set_anew(self._checked(owner, request, policy_id), self.now())
            try:
                self.store.put_policy(before, after, self._entry(caller, Action.SET_RETRAINING_POLICY, after))
            except Stale:
                continue
            # What it waited for may be needed no more, such as a marker.
            if run := self.collecting.gathering(after):
                self.collecting.have_looked_at(run, after)
            return after

    def remove(self, caller: Caller, policy_id: str) -> None:
        """No run follows. The job of one that trains goes on, and its model is registered, not deployed.

        Raises:
            NotFound: not there, or not this caller's to remove.
        """
        policy = self._own(caller, policy_id)
        self.store.delete_policy(policy, self._entry(caller, Action.DELETE_RETRAINING_POLICY, policy))

    def search(self, caller: Caller, limit: int, offset: int, cursor: str | None) -> PolicyPage:
        """The policies a caller may see: own ones, or everybody's in the tenant with the permission."""
        caller.require(Permission.JOBS_READ)
        after = RetrainingStore.policy_cursor(cursor, caller.tenant)
        user = None if caller.may(Permission.JOBS_READ_ALL) else caller.user
        return self.store.search(caller.tenant, user, limit, offset, after)

    def get(self, caller: Caller, policy_id: str) -> RetrainingPolicy:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        caller.require(Permission.JOBS_READ)
        policy = self._there(caller, policy_id)
        self._check_sight(caller, policy.user)
        return policy

    def runs(self, caller: Caller, policy_id: str, limit: int, offset: int, cursor: str | None) -> RunPage:
        """A policy's runs, newest first; also of one that was removed.

        Raises:
            NotFound: no such policy, or not this caller's to see.
        """
        self._check_runs(caller, policy_id)
        after = RetrainingStore.run_cursor(cursor, caller.tenant, policy_id)
        return self.store.runs(caller.tenant, policy_id, limit, offset, after)

    def run(self, caller: Caller, policy_id: str, number: str) -> Run:
        """
        Raises:
            NotFound: not there, or not this caller's to see.
        """
        self._check_runs(caller, policy_id)
        is_number = number.isascii() and number.isdigit() and len(number) <= 8
        found = self.store.run(caller.tenant, policy_id, int(number)) if is_number else None
        if found is None:
            raise NotFound("run")
        return found

    def start(self, caller: Caller, policy_id: str) -> Run:
        """Train now, with what is there: a run that gathers is due at once.

        Raises:
            NotFound: not there, or not this caller's.
            Conflict: the policy is switched off.
        """
        while True:
            policy = self._own(caller, policy_id)
            if not policy.enabled:
                raise Conflict("The policy is switched off: set it with enabled true first.")
            try:
                run = self.collecting.gathering(policy)
                if run is None:
                    run = self.collecting.begin(policy, Trigger.PERSON, caller.user)
                elif run.trigger is not Trigger.PERSON:
                    asked = replace(run, trigger=Trigger.PERSON, user=caller.user)
                    run = self.store.change(run, asked, self.now())
            except Stale:
                continue
            about = subject("retraining-policy", policy_id)
            self.audit.record(caller, Action.START_RETRAINING_RUN, about, run=str(run.number))
            self.collecting.have_looked_at(run, policy)
            return run

    def _checked(self, caller: Caller, request: RetrainingPolicyRequest, policy_id: str) -> RetrainingPolicy:
        caller.require(Permission.JOBS_SUBMIT)
        policy = rules.policy_of(request, caller, self.jobs.objects.bucket, policy_id, self.now())
        if policy.deployment is not None:
            caller.require(Permission.MODELS_DEPLOY)
        with rules.below("job"):
            self.jobs.check_template(caller, rules.template_of(policy, self.jobs.objects.bucket))
        return policy

    def _own(self, caller: Caller, policy_id: str) -> RetrainingPolicy:
        """One that the caller may change: an own one, or anybody's for those who may cancel anybody's jobs."""
        caller.require(Permission.JOBS_SUBMIT)
        policy = self._there(caller, policy_id)
        if policy.user != caller.user and not caller.may(Permission.JOBS_CANCEL_ALL):
            raise NotFound("retraining policy")
        return policy

    def _check_runs(self, caller: Caller, policy_id: str) -> None:
        """
        Raises:
            NotFound: there are no such runs, or they are not this caller's to see.
        """
        caller.require(Permission.JOBS_READ)
        of = self.store.policy(caller.tenant, policy_id)
        if of is None and is_id(policy_id) and (last := self.store.standing(caller.tenant, policy_id).last):
            run = self.store.run(caller.tenant, policy_id, last)
            self._check_sight(caller, run.user if run else "")
        else:
            self._check_sight(caller, self._there(caller, policy_id).user)

    def _check_sight(self, caller: Caller, user: str) -> None:
        if user != caller.user and not caller.may(Permission.JOBS_READ_ALL):
            raise NotFound("retraining policy")

    def _there(self, caller: Caller, policy_id: str) -> RetrainingPolicy:
        policy = self.store.policy(caller.tenant, policy_id)
        if policy is None:
            raise NotFound("retraining policy")
        return policy

    def _entry(self, caller: Caller, action: Action, policy: RetrainingPolicy) -> Write:
        about = subject("retraining-policy", policy.policy_id)
        return self.audit.entry(
            caller, action, about, name=policy.name, prefix=policy.source.prefix, enabled=str(policy.enabled).lower()
        )
