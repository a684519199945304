"""A rollout's turn: look, decide, do. The machine takes one whenever it is time; taking one more does no harm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.captures.answers import LONGEST, CapturedAnswers
from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, Variant
from chalicelib.deployments.gateways import Endpoints, EndpointState
from chalicelib.deployments.revising import Revising
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.errors import Conflict, FieldProblem
from chalicelib.experiments.experiment import Decision, Verdict
from chalicelib.experiments.store import ExperimentStore
from chalicelib.identity.caller import Caller
from chalicelib.machine import StateMachine
from chalicelib.rollouts.drift import Drift, drift
from chalicelib.rollouts.following import Turn, following
from chalicelib.rollouts.gates import FALSE_ALARM, NOT_LOOKED_AT, Reading
from chalicelib.rollouts.rollout import Gate, GateType, Rollout, RolloutStatus
from chalicelib.rollouts.store import RolloutStore
from chalicelib.rollouts.traffic import Traffic

TURNS = 2_000
"""Of one execution: each writes some ten entries into its history, which Step Functions ends at 25,000."""


@dataclass(frozen=True)
class Reader:
    """What is known of a rollout's new version.

    Args:
        namespace: of the tenant's own metrics.
    """

    traffic: Traffic
    endpoints: Endpoints
    experiments: Callable[[], ExperimentStore]
    answers: Callable[[], CapturedAnswers]
    now: Clock

    def read(self, rollout: Rollout, deployment: Deployment) -> Reading:
        endpoint, active, now = self.endpoints.describe(deployment.endpoint), deployment.active, self.now()
        is_served = active is not None and endpoint.serves(deployment.endpoint, active)
        if active and not is_served and endpoint.state is EndpointState.IN_SERVICE:
            self.endpoints.go_back(deployment.endpoint, endpoint, active)
        since = rollout.serving_since or now
        served = self.traffic.served(deployment.endpoint, rollout.candidate.name, since, now, rollout.gates)

        def of(kind: GateType) -> list[Gate]:
            return [gate for gate in rollout.gates if gate.type is kind]

        return Reading(
            is_served=is_served,
            requests=served.requests,
            errors=served.errors,
            slow=served.slow,
            alarms=self.traffic.alarms(of(GateType.ALARM)),
            values=self.traffic.values(metrics_namespace(rollout.tenant), since, now, of(GateType.METRIC)),
            verdicts={gate: self._verdict(rollout.tenant, gate) for gate in of(GateType.EXPERIMENT)},
            drift=self._drift(rollout, since, now),
        )

    def _drift(self, rollout: Rollout, since: datetime, now: datetime) -> Drift:
        if not any(gate.type is GateType.DRIFT for gate in rollout.watched):
            return NOT_LOOKED_AT
        answers, where = self.answers(), (rollout.tenant, rollout.deployment_id)
        # The old version may get no requests any more: what it answered before counts as well.
        old = answers.newest(*where, [variant.name for variant in rollout.stable], now - LONGEST, now)
        new = answers.newest(*where, [rollout.candidate.name], since, now)
        look = 1 + int((now - since).total_seconds() / rollout.evaluation_seconds)
        return drift(old, new, look, FALSE_ALARM)

    def problems(self, deployment: Deployment, gates: Sequence[Gate]) -> list[FieldProblem]:
        """What is wrong with gates that nothing could ever be judged by, by field."""
        watched = [gate for gate in gates if gate.type is GateType.ALARM]
        alarms = self.traffic.alarms(watched) if watched else {}
        found: list[FieldProblem] = []
        for position, gate in enumerate(gates):
            name = gate.name or ""
            if gate.type is GateType.ALARM and alarms[gate] is None:
                cure = "Make the alarm first, or name one that is there."
                found.append(FieldProblem(f"gates.{position}.alarm", f"is {name!r}, which is not there", cure))
            elif gate.type is GateType.EXPERIMENT and self.experiments().get(deployment.tenant, name) is None:
                cure = "Use the id of one of your experiments."
                found.append(FieldProblem(f"gates.{position}.experiment_id", f"is {name!r}", cure))
            elif gate.type is GateType.DRIFT and deployment.capture is None:
                cure = (
                    f"Capture some of its requests first: PUT /api/v1/deployments/{deployment.deployment_id}/capture."
                )
                found.append(FieldProblem(f"gates.{position}", "compares answers, and none are captured", cure))
        return found

    def _verdict(self, tenant: str, gate: Gate) -> Verdict | None:
        experiment = self.experiments().get(tenant, gate.name or "")
        if experiment is None:
            return None
        verdict = experiment.verdict
        if verdict.decision is Decision.PROMOTE and verdict.variant == experiment.variants[0]:
            # The control has won.
            return replace(verdict, decision=Decision.ROLLBACK)
        return verdict


@dataclass(frozen=True)
class Driving:
    """
    Args:
        machine: `shift_traffic`.
        reader: made when a turn has to look at numbers.
    """

    store: RolloutStore
    deployments: DeploymentStore
    revising: Revising
    machine: StateMachine
    reader: Callable[[], Reader]
    now: Clock
    audit: Recorder

    def turn(self, tenant: str, deployment_id: str, number: int, turns: int = 0) -> int | None:
        """
        Args:
            turns: how many the execution has taken.

        Returns:
            In how many seconds to take the next one; None when the execution has nothing more to do.
        """
        while True:
            rollout = self.store.get(tenant, deployment_id, number)
            # After the rollout: what is then asked of the deployment for it can't be older than what it says.
            deployment = self.deployments.get(tenant, deployment_id)
            if rollout is None or deployment is None:
                raise LookupError(f"there is no rollout {number} of deployment {deployment_id} of tenant {tenant}")
            if rollout.status.is_open and turns >= TURNS:
                self._hand_over(rollout)
                return None
            turn = following(rollout, deployment, self.now(), partial(self._read, rollout, deployment))
            try:
                self._do(rollout, deployment, turn)
            except StaleDeployment:
                continue
            return turn.seconds

    def start(self, rollout: Rollout) -> None:
        self.machine.start(*execution(rollout))

    def _read(self, rollout: Rollout, deployment: Deployment) -> Reading:
        return self.reader().read(rollout, deployment)

    def _do(self, before: Rollout, deployment: Deployment, turn: Turn) -> None:
        """
        Raises:
            StaleDeployment: one of the records was changed meanwhile.
        """
        after, now = turn.rollout, self.now()
        if turn.variants is not None:
            try:
                self._revise(before, deployment, turn, turn.variants)
            except Conflict as refusal:
                self._end(before, deployment, after.ended(RolloutStatus.FAILED, refusal.detail, now))
        elif not after.status.is_open and before.status.is_open:
            self._end(before, deployment, after)
        elif after != before:
            self.deployments.write(self.store.change(before, after, now))

    def _revise(self, before: Rollout, deployment: Deployment, turn: Turn, variants: tuple[Variant, ...]) -> None:
        """
        Raises:
            Conflict: one of the variants can't be served any more.
            StaleDeployment: one of the records was changed meanwhile.
        """
        target = deployment.current.weighed(deployment.revisions + 1, variants, turn.base, turn.shadow)
        is_wider = turn.base is None and len(variants) > len(before.stable)
        # By the service, for the one who began it: nobody sent a request for this step.
        owner = Caller(before.tenant, before.user, frozenset())
        entry = self.audit.entry(
            owner,
            Action.CHANGE_WEIGHTS,
            subject("deployment", before.deployment_id),
            rollout=str(before.number),
            revision=str(target.number),
            weights=" ".join(f"{each.name}={each.weight:g}" for each in variants),
            **({"shadow": f"{turn.shadow.name}={turn.shadow.weight:g}"} if turn.shadow else {}),
        )
        self.revising.begin(
            deployment,
            deployment.deploying(target, before.user, before.number),
            *(() if turn.base is not None else self.revising.claims_of(deployment, target.hosted)),
            self.store.change(before, turn.rollout.asked(target.number, base=is_wider), self.now()),
            entry,
        )

    def _end(self, before: Rollout, deployment: Deployment, after: Rollout) -> None:
        now = self.now()
        change = self.store.change(before, after, now)
        if deployment.rollout == before.number:
            self.deployments.update(deployment, deployment.rolled_out(None), now, change)
        else:
            self.deployments.write(change)

    def _hand_over(self, rollout: Rollout) -> None:
        following = rollout.driven_again()
        self.deployments.write(self.store.change(rollout, following, self.now()))
        self.start(following)


def execution(rollout: Rollout) -> tuple[str, dict[str, Any]]:
    """Name and input of the execution that drives a rollout."""
    document = {"tenant": rollout.tenant, "deployment_id": rollout.deployment_id, "rollout": rollout.number}
    return f"{rollout.deployment_id}-rollout-{rollout.number}-{rollout.executions}", document


def metrics_namespace(tenant: str) -> str:
    """Where a tenant's own metrics are, of which gates may be made."""
    return f"aimatrix/{tenant}"
