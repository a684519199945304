"""Start, list, get, and what is done by hand. What happens to a rollout after that is the machine's part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, DeploymentStatus
from chalicelib.deployments.rules import check_model
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.environments.guard import EnvironmentGuard
from chalicelib.errors import Conflict, FieldProblem, NotFound, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.models.store import ModelStore
from chalicelib.rollouts import rules
from chalicelib.rollouts.driving import Driving
from chalicelib.rollouts.request import RolloutRequest
from chalicelib.rollouts.rollout import Gate, GateType, IllegalTransition, Rollout, RolloutStatus
from chalicelib.rollouts.store import RolloutPage, RolloutStore
from chalicelib.table import Write

LARGEST_NUMBER = 99_999_999


@dataclass(frozen=True)
class RolloutService:
    store: RolloutStore
    deployments: DeploymentStore
    models: ModelStore
    driving: Driving
    guard: EnvironmentGuard
    now: Clock
    audit: Recorder

    def start(self, caller: Caller, deployment_id: str, request: RolloutRequest) -> Rollout:
        """Let another version take over, step by step. A rollout that is under way is overtaken.

        Asking for the very rollout that is under way changes nothing and makes sure that its machine runs.

        Raises:
            NotFound: no such deployment, or another tenant's.
            Conflict: the deployment is not active, or busy; or the version can't be served, or is served already.
            Forbidden, EnvironmentRefusal: the environment's policy does not allow it.
            RefusedValue, InvalidRequest: what is wrong with the plan, by field.
        """
        caller.require(Permission.MODELS_DEPLOY)
        steps, gates = rules.steps(request), rules.gates(request, caller.tenant)
        while True:
            deployment = self.deployments.existing(caller.tenant, deployment_id)
            running = self._open(deployment)
            active = deployment.active
            if active is None or not deployment.answers():
                raise Conflict(f"The deployment is {deployment.status.value}: only an active one can be rolled on.")
            if active.is_serverless:
                raise Conflict(
                    "A serverless endpoint has one version at a time: deploy the other one instead, or deploy with "
                    '"serverless": false first.'
                )
            stable = running.stable if running else active.variants
            model = self.models.get(caller.tenant, request.to.model_id)
            if model is None:
                problem = FieldProblem(
                    "to.model_id", f"is {request.to.model_id!r}", "Use the id of one of your models."
                )
                raise RefusedValue.about(problem)
            check_model(model)
            rules.check_shadow(steps, stable)
            now = self.now()
            rollout = Rollout(
                tenant=caller.tenant,
                deployment_id=deployment_id,
                number=deployment.rollouts + 1,
                user=caller.user,
                stable=stable,
                candidate=rules.candidate(model, stable, deployment.name),
                steps=steps,
                gates=gates,
                evaluation_seconds=request.evaluation_seconds,
                patience_seconds=request.patience,
                created_at=now,
                updated_at=now,
                overtook=running is not None,
            )
            if running and running.status is RolloutStatus.RUNNING and running.is_same_intent(rollout):
                self.driving.start(running)
                return running
            if deployment.status is DeploymentStatus.DEPLOYING:
                raise Conflict(
                    f"The deployment is busy with revision {deployment.target.number}. Wait until it has settled."
                )
            brings = [rollout.candidate] if active.weight_of(model.model_id) is None else []
            self.guard.check_rollout(caller, deployment.environment, brings, {gate.type for gate in gates})
            self._check_gates(deployment, gates)
            try:
                self._record(caller, deployment, rollout, running)
            except StaleDeployment:
                continue
            self.driving.start(rollout)
            return rollout

    def search(self, caller: Caller, deployment_id: str, limit: int, offset: int, cursor: str | None) -> RolloutPage:
        """A deployment's rollouts, newest first.

        Raises:
            NotFound: no such deployment, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        self.deployments.existing(caller.tenant, deployment_id)
        after = RolloutStore.cursor(cursor, caller.tenant, deployment_id)
        return self.store.search(caller.tenant, deployment_id, limit, offset, after)

    def get(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        return self._there(caller, deployment_id, number)

    def pause(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        """Go no step further; the gates are watched as before.

        Raises:
            NotFound: not there, or another tenant's.
            Conflict: it has ended, or is rolling back.
        """
        return self._change(caller, deployment_id, number, Action.PAUSE_ROLLOUT, Rollout.paused)

    def resume(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        """Go on where it was paused. Raises as `pause`, and as `start` for what the environment does not allow."""
        self._check(caller, deployment_id)
        return self._change(caller, deployment_id, number, Action.RESUME_ROLLOUT, Rollout.resumed)

    def promote(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        """Let the new version be alone, whatever steps are left.

        Raises as `resume`; where an environment asks for gates nobody passes them by.
        """
        self._check(caller, deployment_id, shifts=True)

        def promoted(rollout: Rollout) -> Rollout:
            return rollout if rollout.is_promoting else rollout.promoting(self.now(), f"Promoted by {caller.user}.")

        return self._change(caller, deployment_id, number, Action.PROMOTE_ROLLOUT, promoted)

    def abort(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        """Bring the old weights back, at once. Raises as `pause`."""

        def aborted(rollout: Rollout) -> Rollout:
            if rollout.status is RolloutStatus.ROLLING_BACK:
                return rollout
            return rollout.rolling_back(RolloutStatus.ABORTED, f"Aborted by {caller.user}.", self.now())

        return self._change(caller, deployment_id, number, Action.ABORT_ROLLOUT, aborted)

    def _check(self, caller: Caller, deployment_id: str, *, shifts: bool = False) -> None:
        caller.require(Permission.MODELS_DEPLOY)
        self.guard.check_change(
            caller, self.deployments.existing(caller.tenant, deployment_id).environment, shifts=shifts
        )

    def _change(
        self, caller: Caller, deployment_id: str, number: str, action: Action, change: Callable[[Rollout], Rollout]
    ) -> Rollout:
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            rollout = self._there(caller, deployment_id, number)
            if not rollout.status.is_open:
                raise Conflict(f"The rollout is {rollout.status.value}.")
            try:
                after = change(rollout)
            except IllegalTransition as refusal:
                raise Conflict(str(refusal)) from None
            if after != rollout and not self._changed(caller, rollout, after, action):
                continue
            if after.status is RolloutStatus.ROLLING_BACK or after.is_promoting:
                # The machine would come to it with its next turn; nobody is to wait for that.
                self.driving.turn(caller.tenant, deployment_id, rollout.number)
            return self._there(caller, deployment_id, number)

    def _check_gates(self, deployment: Deployment, gates: Sequence[Gate]) -> None:
        """
        Raises:
            RefusedValue: one watches what is not there: it would wait for ever.
        """
        if {GateType.ALARM, GateType.EXPERIMENT, GateType.DRIFT}.isdisjoint(gate.type for gate in gates):
            return
        if problems := self.driving.reader().problems(deployment, gates):
            raise RefusedValue.about(*problems)

    def _changed(self, caller: Caller, rollout: Rollout, after: Rollout, action: Action) -> bool:
        about = subject("deployment", rollout.deployment_id)
        entry = self.audit.entry(caller, action, about, rollout=str(rollout.number), step=str(rollout.step))
        try:
            self.deployments.write(self.store.change(rollout, after, self.now()), entry)
        except StaleDeployment:
            return False
        return True

    def _record(self, caller: Caller, deployment: Deployment, rollout: Rollout, running: Rollout | None) -> None:
        """
        Raises:
            StaleDeployment: somebody else changed one of the records since it was read.
        """
        now, overtaken = rollout.created_at, list[Write]()
        if running:
            ended = running.ended(RolloutStatus.OVERTAKEN, f"Rollout {rollout.number} was begun.", now)
            overtaken.append(self.store.change(running, ended, now))
        entry = self.audit.entry(
            caller,
            Action.START_ROLLOUT,
            subject("deployment", deployment.deployment_id),
            rollout=str(rollout.number),
            model=rollout.candidate.model_id,
            steps=" ".join(f"{step.weight:g}%{' shadow' if step.shadow else ''}" for step in rollout.steps),
        )
        after = deployment.rolled_out(rollout.number)
        self.deployments.update(deployment, after, now, self.store.creation(rollout), *overtaken, entry)

    def _open(self, deployment: Deployment) -> Rollout | None:
        if deployment.rollout is None:
            return None
        found = self.store.get(deployment.tenant, deployment.deployment_id, deployment.rollout)
        return found if found and found.status.is_open else None

    def _there(self, caller: Caller, deployment_id: str, number: str) -> Rollout:
        self.deployments.existing(caller.tenant, deployment_id)
        is_number = number.isascii() and number.isdigit() and len(number) <= len(str(LARGEST_NUMBER))
        rollout = self.store.get(caller.tenant, deployment_id, int(number)) if is_number else None
        if rollout is None:
            raise NotFound("rollout")
        return rollout
