"""Other weights for the versions that an endpoint serves: a revision that changes nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.deployments.deployment import Deployment, Revision
from chalicelib.deployments.revising import Revising
from chalicelib.environments.guard import EnvironmentGuard
from chalicelib.identity.caller import Caller
from chalicelib.table import Write


@dataclass(frozen=True)
class Weighing:
    revising: Revising
    guard: EnvironmentGuard
    audit: Recorder

    def weigh(
        self, caller: Caller, deployment: Deployment, target: Revision, *also: Write, **details: str
    ) -> Deployment:
        """
        Args:
            caller: for whom it is done; what they may is asked before.
            target: see `weighed`.
            also: writes that happen in the same transaction, or not at all.
            details: for the audit log.

        Raises:
            Forbidden, EnvironmentRefusal: the environment's policy does not allow it.
            StaleDeployment: somebody else changed one of the records since it was read.
        """
        self.guard.check_change(caller, deployment.environment, shifts=True)
        entry = self.audit.entry(
            caller,
            Action.CHANGE_WEIGHTS,
            subject("deployment", deployment.deployment_id),
            revision=str(target.number),
            weights=" ".join(f"{variant.name}={variant.weight:g}" for variant in target.variants),
            **details,
        )
        return self.revising.begin(deployment, deployment.deploying(target, caller.user), entry, *also)


def weighed(deployment: Deployment, active: Revision, split: Mapping[str, float]) -> Revision:
    """What a deployment's next revision is, with other weights.

    Args:
        split: weight by model, of each that the active revision serves.
    """
    variants = tuple(replace(variant, weight=split[variant.model_id]) for variant in active.variants)
    return active.weighed(deployment.revisions + 1, variants, active.own, active.shadow)
