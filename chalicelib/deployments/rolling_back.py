"""Rolling back: the next revision is an earlier one again, whatever has come between."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision
from chalicelib.deployments.history import PastRevision, RevisionHistory, RevisionOutcome, RevisionPage
from chalicelib.deployments.request import RollbackRequest
from chalicelib.deployments.revising import Revising
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.environments.guard import EnvironmentGuard
from chalicelib.errors import Conflict, FieldProblem, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission


@dataclass(frozen=True)
class RollingBack:
    store: DeploymentStore
    history: RevisionHistory
    revising: Revising
    guard: EnvironmentGuard
    audit: Recorder

    def revisions(
        self, caller: Caller, deployment_id: str, limit: int, offset: int, cursor: str | None
    ) -> RevisionPage:
        """What has settled, newest first.

        Raises:
            NotFound: no such deployment, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        self.store.existing(caller.tenant, deployment_id)
        after = RevisionHistory.cursor(cursor, caller.tenant, deployment_id)
        return self.history.search(caller.tenant, deployment_id, limit, offset, after)

    def roll_back(self, caller: Caller, deployment_id: str, request: RollbackRequest) -> Deployment:
        """Let an earlier revision serve again: its versions, weights and configuration, under the next number.

        Like any other revision it is tried before it takes over, and what serves now goes on until then. An open rollout
        is overtaken. Asking again while it is on its way changes nothing and makes sure that its state machine runs.

        Raises:
            NotFound: no such deployment, or another tenant's.
            Conflict: the endpoint is busy or going, nothing served before, or a version can't be served any more.
            Forbidden: the caller is not one of the environment's deployers.
            RefusedValue: the revision is not one that has answered.
        """
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            deployment = self.store.existing(caller.tenant, deployment_id)
            if deployment.status in {DeploymentStatus.INACTIVE, DeploymentStatus.TERMINATED}:
                raise Conflict(f"The deployment is {deployment.status.value}: deploy the version that you want.")
            wanted = self._wanted(deployment, request).revision
            target = _again(wanted, deployment)
            if deployment.status is DeploymentStatus.DEPLOYING:
                # Asked for again, perhaps because the answer was lost.
                if deployment.target.is_same_intent(target):
                    return self.revising.start(deployment)
                raise Conflict(
                    f"The deployment is busy with revision {deployment.target.number}. Wait until it has settled."
                )
            if deployment.active is not None and deployment.active.is_same_intent(target):
                return deployment
            self.guard.check_rollback(caller, deployment.environment)
            claims = self.revising.claims_of(deployment, target.hosted)
            entry = self.audit.entry(
                caller,
                Action.ROLL_BACK_DEPLOYMENT,
                subject("deployment", deployment_id),
                revision=str(target.number),
                to=str(wanted.number),
                model=" ".join(variant.model_id for variant in target.variants),
            )
            try:
                return self.revising.begin(deployment, deployment.deploying(target, caller.user), *claims, entry)
            except StaleDeployment:
                continue

    def _wanted(self, deployment: Deployment, request: RollbackRequest) -> PastRevision:
        if request.revision is not None:
            found = self.history.get(deployment.tenant, deployment.deployment_id, request.revision)
            if found is None or found.outcome is not RevisionOutcome.ACTIVE:
                said = "has not settled yet, or never was" if found is None else "never answered"
                cure = f"GET /deployments/{deployment.deployment_id}/revisions lists those that did."
                raise RefusedValue.about(FieldProblem("revision", said, cure))
            return found
        # What a rollout has made of it step by step is not what was there before: the version it brought must be gone.
        main = deployment.active.main if deployment.active else None
        for past in self.history.newest_first(deployment.tenant, deployment.deployment_id):
            shadow = past.revision.shadow
            is_without = main is None or (
                not past.revision.weight_of(main.model_id) and (shadow is None or shadow.model_id != main.model_id)
            )
            if past.outcome is RevisionOutcome.ACTIVE and is_without:
                return past
        served = f" without version {main.model_version}" if main else ""
        raise Conflict(f"There is no earlier revision that has served{served}.")


def _again(wanted: Revision, deployment: Deployment) -> Revision:
    """An earlier revision as the next one; where only the weights are others it needs no endpoint configuration."""
    number, active = deployment.revisions + 1, deployment.active
    anew = replace(wanted, number=number, base=None)
    if active is None or [each.name for each in active.variants] != [each.name for each in wanted.variants]:
        return anew
    weighed = active.weighed(number, wanted.variants, active.own, active.shadow)
    return weighed if weighed.is_same_intent(anew) else anew
