"""Create, list, get and stop. What comes in of units is `outcomes.py`'s and `joining.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.assignment import assigned
from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker
from chalicelib.errors import Conflict, NotFound
from chalicelib.experiments import rules
from chalicelib.experiments.allocation import allocation
from chalicelib.experiments.experiment import Decision, Experiment, Plan, Status, Verdict
from chalicelib.experiments.planning import sample_size
from chalicelib.experiments.request import ExperimentRequest, StopRequest
from chalicelib.experiments.steering import Steering
from chalicelib.experiments.store import ExperimentPage, ExperimentStore, Key, KeyUsed, Progress, Stale
from chalicelib.experiments.traffic import Traffic
from chalicelib.idempotency import check_key, fingerprint, used_otherwise
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.table import Write


@dataclass(frozen=True)
class ExperimentService:
    store: ExperimentStore
    steering: Steering
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def create(self, caller: Caller, request: ExperimentRequest, key: str | None) -> Experiment:
        """Fix the plan of an experiment, with its power calculation; it counts from now on.

        Args:
            key: the caller's Idempotency-Key. The same key and request give the same experiment.

        Raises:
            InvalidRequest: what is wrong, by field.
            Conflict: the key was used for another request.
            Forbidden, EnvironmentRefusal, RefusedValue: it may not split the requests of the deployment that it names.
        """
        caller.require(Permission.EXPERIMENTS_MANAGE)
        if key is not None:
            check_key(key)
        plan = rules.plan(request)
        used_for = Key(key, fingerprint(request.model_dump_json())) if key else None
        while True:
            now = self.now()
            try:
                # Before the deployment is looked at: what it is asked for again has taken it already.
                if used_for and (used := self.store.made_by(caller.tenant, caller.user, used_for.text, now)):
                    raise used
                return self._create(caller, request, plan, used_for, now)
            except Stale:
                continue
            except KeyUsed as used:
                if used_for is None or used.fingerprint != used_for.fingerprint:
                    raise used_otherwise() from None
                return self._there(caller, used.experiment_id)

    def _create(
        self, caller: Caller, request: ExperimentRequest, plan: Plan, key: Key | None, now: datetime
    ) -> Experiment:
        """
        Raises:
            KeyUsed: it came before.
            Stale: somebody else took the deployment meanwhile.
        """
        experiment = Experiment(
            tenant=caller.tenant,
            experiment_id=self.new_id(),
            user=caller.user,
            name=request.name,
            hypothesis=request.hypothesis,
            variants=tuple(request.variants),
            shares=rules.shares(request),
            assignment_key=request.assignment_key,
            plan=plan,
            sample_size=sample_size(plan, len(request.variants)),
            created_at=now,
            updated_at=now,
        )
        begun: list[Write] = []
        if request.allocation and request.allocation.deployment_id is not None:
            experiment, begun = self.steering.begin(caller, request.allocation, experiment)
        about = subject("experiment", experiment.experiment_id)
        created = self.audit.entry(
            caller,
            Action.CREATE_EXPERIMENT,
            about,
            name=experiment.name,
            variants=" ".join(experiment.variants),
            primary_metric=plan.primary.name,
            samples=str(plan.samples),
            deployment=experiment.deployment_id,
        )
        self.store.create(experiment, key, created, *begun)
        return experiment

    def search(
        self, caller: Caller, status: Status | None, limit: int, offset: int, cursor: str | None
    ) -> ExperimentPage:
        """The tenant's experiments, newest first."""
        caller.require(Permission.EXPERIMENTS_READ)
        after = ExperimentStore.cursor(cursor, caller.tenant, status)
        return self.store.search(caller.tenant, status, limit, offset, after)

    def get(self, caller: Caller, experiment_id: str) -> Experiment:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.EXPERIMENTS_READ)
        return self._there(caller, experiment_id)

    def results(self, caller: Caller, experiment_id: str) -> tuple[Experiment, Progress]:
        """What the last look found. Asking is no look, and costs the same however much was counted.

        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.EXPERIMENTS_READ)
        return self.find(caller, experiment_id)

    def traffic(self, experiment: Experiment) -> Traffic | None:
        """How it stands with the requests of the deployment that it names."""
        if experiment.deployment_id is None:
            return None
        return self.steering.traffic.get(experiment.tenant, experiment.experiment_id)

    def assign(self, caller: Caller, experiment_id: str, keys: Sequence[str]) -> list[str]:
        """The variant of each key, in their order: the same one whenever it is asked for, while the weights stay.

        Of a bandit they are those of its last look: keys move to variants that gained, and no others. A variant that is
        rolled back gets nobody any more. Of an experiment that has ended everybody gets what was decided.

        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.EXPERIMENTS_REPORT)
        experiment, progress = self.find(caller, experiment_id)
        if experiment.status.is_over:
            return [experiment.verdict.variant or experiment.variants[0]] * len(keys)
        weights = allocation(experiment, progress.state)
        return [assigned(experiment_id, key, weights) for key in keys]

    def stop(self, caller: Caller, experiment_id: str, request: StopRequest) -> Experiment:
        """End an experiment by hand, undecided. Doing it again changes nothing.

        Raises:
            NotFound: not there, or another tenant's.
            Conflict: it has been decided.
        """
        caller.require(Permission.EXPERIMENTS_MANAGE)
        about = subject("experiment", experiment_id)
        while True:
            experiment, progress = self.find(caller, experiment_id)
            if experiment.status is Status.STOPPED:
                return experiment
            if experiment.status is Status.DECIDED:
                raise Conflict(f"The experiment has been decided: {experiment.verdict.reason}")
            said = f": {request.reason}" if request.reason else "."
            reason = f"Stopped by hand after look {progress.state.looks}{said}"
            verdict = Verdict(Decision.INCONCLUSIVE, reason, progress.state.looks)
            entry = self.audit.entry(caller, Action.STOP_EXPERIMENT, about, reason=request.reason or None)
            now = self.now()
            try:
                return self.store.stop(experiment, experiment.stopped(verdict, now), now, entry)
            except Stale:
                continue

    def find(self, caller: Caller, experiment_id: str) -> tuple[Experiment, Progress]:
        """As `results`, for a caller who is allowed something else.

        Raises:
            NotFound: not there, or another tenant's.
        """
        found = self.store.read(caller.tenant, experiment_id)
        if found is None:
            raise NotFound("experiment")
        return found

    def _there(self, caller: Caller, experiment_id: str) -> Experiment:
        experiment = self.store.get(caller.tenant, experiment_id)
        if experiment is None:
            raise NotFound("experiment")
        return experiment
