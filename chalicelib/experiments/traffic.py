"""The requests of the endpoint that a bandit splits: how it stands with them, and what follows a look. No I/O.

    following ── a look's weights differ enough ──> changing ── SageMaker has them ──> following
        │                                              └─────── it has not ──────────> refused
        └─────── the environment does not allow it ──────────────────────────────────> refused ── the next look ──> …

The end is `ended`, with the experiment, or `given-up`: with a reason, and nothing is changed any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from chalicelib.deployments.deployment import Deployment, DeploymentStatus, Revision
from chalicelib.experiments.allocation import allocation
from chalicelib.experiments.experiment import Experiment, Status
from chalicelib.experiments.look import State

LEAST_CHANGE = 0.01
"""Of any variant's share: what is less is not worth a revision."""

_ROUNDING = 1e-9


class TrafficStatus(Enum):
    FOLLOWING = "following"
    CHANGING = "changing"
    REFUSED = "refused"
    GIVEN_UP = "given-up"
    ENDED = "ended"

    @property
    def is_over(self) -> bool:
        """Nothing is changed any more, and the deployment is free for another experiment."""
        return self in {TrafficStatus.GIVEN_UP, TrafficStatus.ENDED}


@dataclass(frozen=True)
class Traffic:
    """`version` grows by one with every change of the record.

    Attributes:
        models: what each variant of the experiment serves, in their order.
        revision: the deployment's last one, as far as it is ours; any later one is somebody else's.
        look: whose weights were asked for last; 0: none yet.
        reason: why it is refused, given up or ended.
    """

    tenant: str
    experiment_id: str
    deployment_id: str
    models: tuple[str, ...]
    revision: int
    updated_at: datetime
    look: int = 0
    status: TrafficStatus = TrafficStatus.FOLLOWING
    reason: str | None = None
    version: int = 1

    def became(self, status: TrafficStatus, reason: str | None = None, look: int | None = None) -> Traffic:
        return replace(self, status=status, reason=reason, look=self.look if look is None else look)

    def split(self, weights: Mapping[str, float]) -> dict[str, float]:
        """By model, from weights by variant in the experiment's order."""
        return dict(zip(self.models, weights.values(), strict=True))


@dataclass(frozen=True)
class Turn:
    """What follows.

    Attributes:
        split: the weights to ask the deployment for, by model; None: nothing to ask.
    """

    traffic: Traffic
    split: Mapping[str, float] | None = None


def following(traffic: Traffic, experiment: Experiment, state: State, deployment: Deployment | None) -> Turn:
    """What is to be done now. Asked again when it has been done, the answer is that there is nothing to do."""
    if traffic.status.is_over:
        return Turn(traffic)
    lost = "The deployment is gone." if deployment is None else _lost(traffic, deployment)
    if deployment is None or lost:
        return Turn(traffic.became(TrafficStatus.GIVEN_UP, lost))
    active = deployment.active
    if deployment.status is DeploymentStatus.DEPLOYING or active is None:
        return Turn(traffic)
    now = _settled(traffic, deployment, active)
    if experiment.status is Status.STOPPED:
        return Turn(now.became(TrafficStatus.ENDED, "The experiment was stopped: the weights stay as they are."))
    split, look = traffic.split(allocation(experiment, state)), state.looks
    if look > now.look:
        if _matters(shares(active), split):
            asked = now.became(TrafficStatus.CHANGING, look=look)
            return Turn(replace(asked, revision=deployment.revisions + 1), split)
        if now.status is TrafficStatus.REFUSED:
            now = now.became(TrafficStatus.FOLLOWING)
    if experiment.status.is_over:
        if now.status is TrafficStatus.REFUSED:
            return Turn(now.became(TrafficStatus.GIVEN_UP, now.reason))
        return Turn(
            now.became(TrafficStatus.ENDED, "The experiment is decided: the weights are those of its last look.")
        )
    return Turn(now)


def shares(revision: Revision) -> dict[str, float]:
    """The part of the requests that each model gets."""
    whole = sum(variant.weight for variant in revision.variants)
    return {variant.model_id: variant.weight / whole for variant in revision.variants}


def _lost(traffic: Traffic, deployment: Deployment) -> str | None:
    """Why the deployment is not this experiment's to change any more."""
    if deployment.status not in {DeploymentStatus.ACTIVE, DeploymentStatus.DEPLOYING}:
        return f"The deployment is {deployment.status.value}."
    if deployment.rollout is not None:
        return f"Rollout {deployment.rollout} of the deployment has begun."
    if deployment.revisions != traffic.revision:
        return f"{deployment.user} has asked the deployment for revision {deployment.revisions}, which counts."
    return None


def _settled(traffic: Traffic, deployment: Deployment, active: Revision) -> Traffic:
    """What became of the revision that was asked for."""
    if traffic.status is not TrafficStatus.CHANGING:
        return traffic
    if active.number == traffic.revision:
        return traffic.became(TrafficStatus.FOLLOWING)
    failure = deployment.last_failure
    said = failure.reason if failure else "the revision before serves"
    return traffic.became(TrafficStatus.REFUSED, f"Revision {traffic.revision} did not come up: {said}")


def _matters(now: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    """Whether it is worth a revision: so much of a change, or one that begins or ends to get requests."""
    if any((now[model] > 0) != (weight > 0) for model, weight in wanted.items()):
        return True
    return max(abs(now[model] - weight) for model, weight in wanted.items()) >= LEAST_CHANGE - _ROUNDING
