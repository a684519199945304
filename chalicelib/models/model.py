"""A model version: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from chalicelib.identity.permissions import DEFAULT_TENANT

_MAX_MLFLOW_NAME = 256


class ModelStatus(Enum):
    TRAINING = "training"
    READY = "ready"
    DEPLOYED = "deployed"
    DEPRECATED = "deprecated"

    def may_become(self, following: ModelStatus) -> bool:
        return following in TRANSITIONS[self]


TRANSITIONS: Mapping[ModelStatus, frozenset[ModelStatus]] = {
    # Recorded, and not yet in MLflow's registry. Its owner may give it up there.
    ModelStatus.TRAINING: frozenset({ModelStatus.READY, ModelStatus.DEPRECATED}),
    ModelStatus.READY: frozenset({ModelStatus.DEPLOYED, ModelStatus.DEPRECATED}),
    # Back to ready when the last deployment that serves it is gone; deprecated only by way of ready.
    ModelStatus.DEPLOYED: frozenset({ModelStatus.READY}),
    ModelStatus.DEPRECATED: frozenset(),
}


class IllegalTransition(Exception):
    """A status was asked for that does not follow the present one."""


class Use(Enum):
    """What a deployment, or a transform, does with a model."""

    CLAIMED = "claimed"
    """It is about to serve it, so the model must not be deprecated meanwhile."""
    SERVED = "served"
    TRANSFORMS = "transforms"
    """A batch transform asks it."""


@dataclass(frozen=True)
class MlflowLink:
    """A model's counterpart in MLflow's registry."""

    name: str
    version: str
    run_id: str | None
    alias: str


@dataclass(frozen=True)
class Archive:
    """The files of a model, as one `model.tar.gz` or as a native file."""

    uri: str
    size_bytes: int
    checksum: str | None

    @property
    def is_deployable(self) -> bool:
        """SageMaker takes a gzipped tar archive and nothing else."""
        return self.uri.endswith(".tar.gz")


@dataclass(frozen=True)
class AutoDeployment:
    """Whether a model was deployed by itself, and why.

    Attributes:
        policy: whose it was: a model name, or `*`.
    """

    policy: str
    deployed: bool
    reason: str
    at: datetime
    deployment_id: str | None = None


@dataclass(frozen=True)
class Model:
    """One version of a named model. `record_version` grows by one with every change of the record.

    Attributes:
        kind: what the model file is (`mlflow`, `sklearn`, `torch_export`, ...).
        servable: whether an endpoint can answer with it; `servable_reason` says why not.
        signature, input_example: in MLflow's forms, where they are known.
        uses: id of a deployment or a transform → what it does with this model.
        auto_deployment: what the policy of its name has said; None before it was asked.
    """

    tenant: str
    model_id: str
    user: str
    name: str
    version: str
    framework: str
    archive: Archive
    created_at: datetime
    updated_at: datetime
    kind: str
    servable: bool
    servable_reason: str | None = None
    status: ModelStatus = ModelStatus.TRAINING
    record_version: int = 1
    training_job_id: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: tuple[Mapping[str, Any], ...] = ()
    signature: Mapping[str, Any] | None = None
    input_example: Any = None
    mlflow: MlflowLink | None = None
    deployment_config: Mapping[str, Any] | None = None
    uses: Mapping[str, Use] = field(default_factory=dict)
    auto_deployment: AutoDeployment | None = None

    def become(self, status: ModelStatus) -> Model:
        """
        Raises:
            IllegalTransition: the table of transitions does not have it.
        """
        if status is self.status:
            return self
        if not self.status.may_become(status):
            raise IllegalTransition(f"a model that is {self.status.value} can't become {status.value}")
        return replace(self, status=status)

    def claimed_by(self, deployment_id: str) -> Model:
        """A deployment is about to serve this model; one that serves it already goes on doing so."""
        return replace(self, uses={deployment_id: Use.CLAIMED, **self.uses})

    def asked_by(self, transform_id: str) -> Model:
        """A transform is about to ask this model."""
        return replace(self, uses={**self.uses, transform_id: Use.TRANSFORMS})

    def used_for(self, *uses: Use) -> list[str]:
        """The ids of what uses it so."""
        return sorted(other for other, use in self.uses.items() if use in uses)

    def served_by(self, deployment_id: str, config: Mapping[str, Any]) -> Model:
        served = replace(self, uses={**self.uses, deployment_id: Use.SERVED}, deployment_config=config)
        return served.become(ModelStatus.DEPLOYED)

    def released_by(self, deployment_id: str) -> Model:
        """A deployment does not serve this model, or a transform does not ask it, or does no longer."""
        uses = {other: use for other, use in self.uses.items() if other != deployment_id}
        released = replace(self, uses=uses)
        if self.status is ModelStatus.DEPLOYED and Use.SERVED not in uses.values():
            return released.become(ModelStatus.READY)
        return released

    def unclaimed_by(self, deployment_id: str) -> Model:
        """A deployment that was about to serve this model gave up; what it serves already it keeps."""
        return self if self.uses.get(deployment_id) is Use.SERVED else self.released_by(deployment_id)


@dataclass(frozen=True)
class ModelFilter:
    """Which models a list shows."""

    framework: str | None = None
    status: ModelStatus | None = None


def model_prefix(tenant: str, model_id: str) -> str:
    """Where the objects of a model that was registered from outside lie, with a slash at the end."""
    return f"tenants/{tenant}/models/{model_id}/"


def mlflow_name(tenant: str, name: str) -> str:
    """A model's name on the MLflow server, which all tenants share.

    No model name holds a `~`, so one tenant's name can't be made to look like another's.
    """
    return name if tenant == DEFAULT_TENANT else f"{tenant}~{name}"[:_MAX_MLFLOW_NAME]
