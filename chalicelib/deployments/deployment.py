"""A deployment and its revisions: frozen values, no I/O."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any


class DeploymentStatus(Enum):
    DEPLOYING = "deploying"
    ACTIVE = "active"
    INACTIVE = "inactive"
    FAILED = "failed"
    TERMINATED = "terminated"

    def may_become(self, following: DeploymentStatus) -> bool:
        return following in TRANSITIONS[self]


TRANSITIONS: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    DeploymentStatus.DEPLOYING: frozenset({DeploymentStatus.ACTIVE, DeploymentStatus.FAILED}),
    # Failed: its endpoint was taken away behind its back.
    DeploymentStatus.ACTIVE: frozenset(
        {DeploymentStatus.DEPLOYING, DeploymentStatus.INACTIVE, DeploymentStatus.FAILED}
    ),
    DeploymentStatus.FAILED: frozenset({DeploymentStatus.DEPLOYING, DeploymentStatus.INACTIVE}),
    # Being taken down: it answers no more, and its endpoint is not gone yet.
    DeploymentStatus.INACTIVE: frozenset({DeploymentStatus.TERMINATED}),
    DeploymentStatus.TERMINATED: frozenset(),
}

ENVIRONMENTS = ("development", "staging", "production")


class IllegalTransition(Exception):
    """A status was asked for that does not follow the present one."""


MAX_VARIANTS = 10
"""Of an endpoint: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html"""

MAX_REVISION = 99_999_999
"""What eight digits of a key can say."""

# SageMaker keeps weights as floats of 32 bits.
_SAME_SHARE = 1e-5
_SPLITS = frozenset({"traffic_split", "variants", "shadow"})
"""What of a configuration says who gets which requests."""


@dataclass(frozen=True)
class Variant:
    """One version of a model behind an endpoint.

    Attributes:
        name: what SageMaker calls it.
        weight: its part of the requests, in any unit; with 0 it gets those alone that name it.
    """

    name: str
    model_id: str
    model_version: str
    weight: float = 1.0


@dataclass(frozen=True)
class Revision:
    """Versions of a model, with one configuration.

    Attributes:
        variants: what the endpoint serves, the deployed version first.
        shadow: a version that gets copies of the requests and answers nobody; its weight is their part in percent.
        config: the request's configuration, complete with defaults.
        instance_type: what each replica runs on.
        gpu_count: of each replica.
        volume_gb: its disk; None where the instance type brings its own, or nobody asked.
        base: the revision whose models and endpoint configuration it uses, where only weights differ; None: its own.
    """

    number: int
    variants: tuple[Variant, ...]
    config: Mapping[str, Any]
    instance_type: str
    gpu_count: int = 0
    volume_gb: int | None = None
    base: int | None = None
    shadow: Variant | None = None

    @property
    def model_id(self) -> str:
        return self.variants[0].model_id

    @property
    def hosted(self) -> tuple[Variant, ...]:
        """All that have instances: those that serve, and the shadow."""
        return self.variants if self.shadow is None else (*self.variants, self.shadow)

    @property
    def is_serverless(self) -> bool:
        """Whether it has instances only while it is asked."""
        return bool(self.config.get("serverless"))

    @property
    def model_version(self) -> str:
        return self.variants[0].model_version

    @property
    def weights(self) -> dict[str, float]:
        return {variant.name: variant.weight for variant in self.variants}

    def not_in(self, other: Revision | None) -> tuple[Variant, ...]:
        """The variants whose models the other one does not have."""
        there = {variant.model_id for variant in other.hosted} if other else set()
        return tuple(variant for variant in self.hosted if variant.model_id not in there)

    def weight_of(self, model_id: str) -> float | None:
        """None where it is not served."""
        return next((variant.weight for variant in self.variants if variant.model_id == model_id), None)

    def weighed(
        self, number: int, variants: tuple[Variant, ...], base: int | None, shadow: Variant | None = None
    ) -> Revision:
        """The same on the same instances, with other variants or weights, which its configuration says.

        Args:
            base: the revision whose endpoint configuration has these variants; None: it gets one of its own.
        """
        config = {name: value for name, value in self.config.items() if name not in _SPLITS}
        if len(variants) > 1:
            config["variants"] = [{"model_id": each.model_id, "weight": each.weight} for each in variants]
        if shadow is not None:
            config["shadow"] = {"model_id": shadow.model_id, "percentage": shadow.weight}
        return replace(self, number=number, variants=variants, config=config, base=base, shadow=shadow)

    @property
    def main(self) -> Variant:
        """The variant that gets most of the requests, the first of equals."""
        return max(self.variants, key=lambda variant: variant.weight)

    def is_same_intent(self, other: Revision) -> bool:
        return replace(self, number=other.number, base=other.base) == other

    @property
    def own(self) -> int:
        """The revision whose models and endpoint configuration it uses."""
        return self.base or self.number

    def resource(self, endpoint: str) -> str:
        """What its endpoint configuration is called, and the first of its SageMaker models."""
        return resource_name(endpoint, self.own)


@dataclass(frozen=True)
class Failure:
    """An update or an undeployment that did not succeed, while the deployment went on."""

    at: datetime
    reason: str
    revision: int | None = None
    model_id: str | None = None


@dataclass(frozen=True)
class DataCapture:
    """What is kept of an endpoint's requests and answers.

    Attributes:
        percentage: of the requests that are answered.
        redact: fields whose values are not kept.
    """

    percentage: float
    redact: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """A model name in an environment. `record_version` grows by one with every change of the record.

    Attributes:
        endpoint: the name of the SageMaker endpoint, the same for all revisions.
        target: the revision that was asked for last.
        active: the revision that answers predictions.
        served_last: the last one that did, also before the endpoint was taken down and deployed anew.
        revisions: how many there have been; the number of the last one.
        undeployments: how often taking it down was begun.
        resources: which revisions may have an endpoint configuration and models of their own in SageMaker, with how many
            models: those of the target, of the active revision, and of earlier ones that failed.
        rollouts: how many there have been; the number of the last one.
        rollout: the one that is open.
        evidence: how it is known that the active revision works.
        capture: what is kept of its requests, whichever revision answers them; None: nothing.
    """

    tenant: str
    deployment_id: str
    user: str
    name: str
    environment: str
    endpoint: str
    target: Revision
    created_at: datetime
    updated_at: datetime
    status: DeploymentStatus = DeploymentStatus.DEPLOYING
    record_version: int = 1
    revisions: int = 1
    active: Revision | None = None
    served_last: Revision | None = None
    deployed_at: datetime | None = None
    failure_reason: str | None = None
    last_failure: Failure | None = None
    evidence: str | None = None
    undeployments: int = 0
    resources: tuple[tuple[int, int], ...] = ()
    rollouts: int = 0
    rollout: int | None = None
    capture: DataCapture | None = None

    @property
    def current(self) -> Revision:
        """The revision that the status is about."""
        return self.active if self.active and self.status is not DeploymentStatus.DEPLOYING else self.target

    @property
    def is_live(self) -> bool:
        """Whether it has an endpoint, or should have, or should not any more and has one yet."""
        return self.status in {DeploymentStatus.DEPLOYING, DeploymentStatus.ACTIVE, DeploymentStatus.INACTIVE}

    def answers(self) -> bool:
        """Whether predictions can be asked for; while another revision is on its way the active one goes on."""
        return self.active is not None and self.status in {DeploymentStatus.ACTIVE, DeploymentStatus.DEPLOYING}

    def deploying(self, target: Revision, user: str, rollout: int | None = None) -> Deployment:
        """Another revision is wanted.

        Args:
            rollout: the one that wants it; any other is overtaken.
        """
        begun = replace(self, target=target, user=user, revisions=target.number, failure_reason=None, rollout=rollout)
        return begun._with_resources_of(target)._become(DeploymentStatus.DEPLOYING)

    def first(self) -> Deployment:
        """As it is recorded when its place is taken."""
        return self._with_resources_of(self.target)

    def rolled_out(self, number: int | None) -> Deployment:
        """A rollout has begun; None: it has ended."""
        return replace(self, rollout=number, rollouts=max(self.rollouts, number or 0))

    def superseded(self) -> tuple[tuple[int, int], ...]:
        """Of `resources`, those that neither the target nor the active revision uses."""
        used = {revision.own for revision in (self.target, self.active) if revision}
        return tuple(each for each in self.resources if each[0] not in used)

    def without(self, deleted: tuple[tuple[int, int], ...]) -> Deployment:
        return replace(self, resources=tuple(each for each in self.resources if each not in deleted))

    def _with_resources_of(self, revision: Revision) -> Deployment:
        if revision.base is not None:
            return self
        return replace(self, resources=(*self.resources, (revision.number, len(revision.hosted))))

    def activated(self, now: datetime) -> Deployment:
        """The target answers."""
        done = replace(
            self, active=self.target, served_last=self.target, deployed_at=now, failure_reason=None, last_failure=None
        )
        return done._become(DeploymentStatus.ACTIVE)

    def kept(self, reason: str, now: datetime) -> Deployment:
        """The target failed, and the revision before it goes on."""
        if self.active is None:
            raise IllegalTransition("there is no revision to go on with")
        failure = Failure(now, reason, self.target.number, self.target.model_id)
        return replace(self, target=self.active, last_failure=failure)._become(DeploymentStatus.ACTIVE)

    def failed(self, reason: str) -> Deployment:
        """Nothing answers."""
        return replace(self, active=None, failure_reason=reason)._become(DeploymentStatus.FAILED)

    def undeploying(self) -> Deployment:
        """It is to be taken down: it answers no more."""
        begun = replace(self, undeployments=self.undeployments + 1, last_failure=None, rollout=None)
        return begun if self.status is DeploymentStatus.INACTIVE else begun._become(DeploymentStatus.INACTIVE)

    def terminated(self) -> Deployment:
        return replace(self, active=None, last_failure=None)._become(DeploymentStatus.TERMINATED)

    def _become(self, status: DeploymentStatus) -> Deployment:
        if not self.status.may_become(status):
            raise IllegalTransition(f"a deployment that is {self.status.value} can't become {status.value}")
        return replace(self, status=status)


@dataclass(frozen=True)
class DeploymentFilter:
    """Which deployments a list shows."""

    environment: str | None = None
    status: DeploymentStatus | None = None
    model_id: str | None = None


def endpoint_name(tenant: str, name: str, environment: str) -> str:
    """The endpoint of a model name in an environment: readable, unique, at most 56 of SageMaker's 63 characters.

    Its last part has 80 bits of a hash over the tenant too: nobody finds a model name that leads to the endpoint of another.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:18].strip("-") or "model"
    digest = base64.b32encode(hashlib.sha256("\x1f".join((tenant, name, environment)).encode()).digest()[:10]).decode()
    digest = digest.lower()
    return f"aimatrix-{slug}-{environment}-{digest}"


def resource_name(endpoint: str, revision: int) -> str:
    """What a revision's SageMaker model and endpoint configuration are called."""
    return f"{endpoint}-{revision}"


def model_name(resource: str, position: int) -> str:
    """What SageMaker calls the model of a revision's variant."""
    return f"{resource}-{position}" if position else resource


def same_shares(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two sets of weights send the same part of the requests to each variant."""
    if one.keys() != other.keys():
        return False
    whole, others = sum(one.values()) or 1.0, sum(other.values()) or 1.0
    return all(abs(weight / whole - other[name] / others) < _SAME_SHARE for name, weight in one.items())


def same_weights(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two sets of weights are the same, as far as SageMaker keeps them."""
    close = partial(math.isclose, rel_tol=_SAME_SHARE)
    return one.keys() == other.keys() and all(close(weight, other[name]) for name, weight in one.items())


def variant_name(model_version: str, beside: Sequence[Variant] = ()) -> str:
    """What SageMaker calls the variant of a version: its letters and digits, others as dashes.

    Args:
        beside: the variants whose names are taken: "1.0" and "1-0" are two versions.
    """
    name = "v" + re.sub(r"[^A-Za-z0-9]+", "-", model_version).strip("-")[:60].strip("-")
    return f"{name[:60]}-{len(beside)}" if name in {each.name for each in beside} else name
