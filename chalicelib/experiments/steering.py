"""A bandit splits the requests of an endpoint: what is asked before, and the turn that follows a look. A turn taken twice
does no harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chalicelib.clock import Clock
from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision, Variant
from chalicelib.deployments.store import DeploymentStore, StaleDeployment
from chalicelib.deployments.weighing import Weighing, weighed
from chalicelib.environments.guard import EnvironmentRefusal
from chalicelib.errors import FieldProblem, Forbidden, RefusedValue
from chalicelib.experiments.experiment import Experiment
from chalicelib.experiments.request import AllocationRequest
from chalicelib.experiments.store import ExperimentStore, Stale
from chalicelib.experiments.traffic import Traffic, TrafficStatus, following, shares
from chalicelib.experiments.traffic_store import TrafficStore
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.table import Write

_FIELD = "allocation.deployment_id"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Steering:
    store: ExperimentStore
    traffic: TrafficStore
    deployments: DeploymentStore
    weighing: Weighing
    now: Clock

    def begin(
        self, caller: Caller, allocation: AllocationRequest, experiment: Experiment
    ) -> tuple[Experiment, list[Write]]:
        """An experiment that splits the requests of the deployment that its allocation names.

        Returns:
            The experiment, with the shares that the deployment has now, and what is to be recorded with it.

        Raises:
            Forbidden, EnvironmentRefusal: the caller may not change the deployment's weights.
            RefusedValue: it can't be this experiment's, by field.
        """
        caller.require(Permission.MODELS_DEPLOY)
        deployment = self.deployments.get(caller.tenant, allocation.deployment_id or "")
        if deployment is None:
            said = f"is {allocation.deployment_id!r}, which is not there"
            raise RefusedValue.about(FieldProblem(_FIELD, said, "Use the id of one of your deployments."))
        active = self._split_by_nobody(deployment)
        models = _models(experiment.variants, active.variants)
        if models is None:
            names = ", ".join(variant.name for variant in active.variants)
            problem = FieldProblem("variants", "are not those of the deployment", f"Use its variants: {names}.")
            raise RefusedValue.about(problem)
        served = shares(active)
        for variant, model in zip(experiment.variants, models, strict=True):
            if served[model] < allocation.floor * (1 - _ROUNDING):
                said = f"is {allocation.floor:g}, and {variant} has {served[model]:.3g} of the requests"
                cure = "Lower it, or give the deployment other weights first."
                raise RefusedValue.about(FieldProblem("allocation.floor", said, cure))
        self.weighing.guard.check_change(caller, deployment.environment, shifts=True)
        made = replace(
            experiment, shares=tuple(served[model] for model in models), deployment_id=deployment.deployment_id
        )
        traffic = Traffic(
            tenant=made.tenant,
            experiment_id=made.experiment_id,
            deployment_id=deployment.deployment_id,
            models=models,
            revision=deployment.revisions,
            updated_at=made.created_at,
        )
        return made, self.traffic.begin(traffic)

    def turn(self, tenant: str, experiment_id: str) -> Traffic | None:
        """Ask the deployment for the weights of the last look, where they differ enough, and note what became of the last
        that were asked for.

        Returns:
            How it stands now; None where the experiment splits no endpoint's requests.
        """
        while True:
            before = self.traffic.get(tenant, experiment_id)
            found = self.store.read(tenant, experiment_id) if before else None
            if before is None or found is None or before.status.is_over:
                return before
            experiment, progress = found
            if progress.is_open is experiment.status.is_over:
                # Read between the two writes of one transaction: the last look is in one of them only.
                continue
            # After the record: what it is asked for meanwhile then shows as a change of the record too.
            deployment = self.deployments.get(tenant, before.deployment_id)
            turn = following(before, experiment, progress.state, deployment)
            try:
                if turn.split is not None and deployment is not None:
                    return self._weigh(experiment, before, turn.traffic, deployment, turn.split)
                if turn.traffic != before:
                    self.traffic.write(before, turn.traffic, self.now())
                elif deployment and deployment.status is DeploymentStatus.DEPLOYING:
                    # Perhaps it was recorded, and its machine was never started.
                    self.weighing.revising.start(deployment)
            except (Stale, StaleDeployment):
                continue
            except (EnvironmentRefusal, Forbidden) as refusal:
                refused = before.became(TrafficStatus.REFUSED, refusal.detail, turn.traffic.look)
                self._note(before, refused)
                continue
            return turn.traffic

    def turn_of(self, tenant: str, deployment_id: str) -> Traffic | None:
        """The turn of the experiment that splits a deployment's requests, if there is one."""
        experiment_id = self.traffic.experiment_of(tenant, deployment_id)
        return self.turn(tenant, experiment_id) if experiment_id else None

    def _weigh(
        self,
        experiment: Experiment,
        before: Traffic,
        after: Traffic,
        deployment: Deployment,
        split: Mapping[str, float],
    ) -> Traffic:
        assert deployment.active is not None  # noqa: S101  what follows from it
        # By the service, for the one who made the experiment: nobody sent a request for this.
        owner = Caller(experiment.tenant, experiment.user, frozenset())
        self.weighing.weigh(
            owner,
            deployment,
            weighed(deployment, deployment.active, split),
            *self.traffic.change(before, after, self.now()),
            experiment=experiment.experiment_id,
            look=str(after.look),
        )
        return after

    def _note(self, before: Traffic, after: Traffic) -> None:
        try:
            self.traffic.write(before, after, self.now())
        except Stale:
            return

    def _split_by_nobody(self, deployment: Deployment) -> Revision:
        """What a deployment serves, when nothing else decides about its weights.

        Raises:
            RefusedValue: something does, or it does not serve.
        """
        other = self.traffic.experiment_of(deployment.tenant, deployment.deployment_id)
        if deployment.status is not DeploymentStatus.ACTIVE or deployment.active is None:
            said, cure = f"is {deployment.status.value}", "Wait until the deployment is active."
        elif deployment.rollout is not None:
            said, cure = f"has rollout {deployment.rollout} under way", "Wait until that has ended."
        elif other is not None:
            said, cure = f"is split by experiment {other}", "Stop that one, or wait until it has ended."
        else:
            return deployment.active
        raise RefusedValue.about(FieldProblem(_FIELD, said, cure))


def _models(names: Sequence[str], variants: Sequence[Variant]) -> tuple[str, ...] | None:
    """What each variant of an experiment serves, by the deployment's names or versions; None where they are others."""
    by_name = {variant.name: variant.model_id for variant in variants}
    by_version = {variant.model_version: variant.model_id for variant in variants}
    for found in (by_name, by_version):
        if set(names) == set(found):
            return tuple(found[name] for name in names)
    return None
