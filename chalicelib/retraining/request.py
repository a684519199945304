"""The shape of a retraining policy. Meaning and bounds are checked in `rules.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from chalicelib.auto_deployment.request import ConditionRequest
from chalicelib.deployments.request import AutoScalingPolicy, Environment
from chalicelib.jobs.request import Name, ResourceRequirements, TrainingConfig, TrainingJobRequest, Uri
from chalicelib.rollouts.request import RolloutPlan, Seconds
from chalicelib.shape import Shape

MAX_CONDITIONS = 20
MAX_BUDGET_USD = 1_000_000


class UploadSource(Shape):
    """
    Attributes:
        uri_prefix: what the objects' addresses begin with, below one of the caller's own places.
        pattern: of what is behind the prefix: `*.csv`.
        marker: name of an object that completes a set, such as `_SUCCESS`; without it a set is complete when nothing has
            come for the time of `debounce`.
    """

    type: Literal["s3"]
    uri_prefix: Uri
    pattern: Annotated[str, StringConstraints(min_length=1, max_length=256)] = "*"
    marker: Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^/]+$")] | None = None


class ManualSource(Shape):
    """Nothing but a person starts a run."""

    type: Literal["manual"]
    uri_prefix: Uri


class JobConfigTemplate(TrainingConfig):
    """Of the job; its dataset is filled in."""

    dataset_path: Uri = ""

    @field_validator("dataset_path")
    @classmethod
    def _is_left_out(cls, path: str) -> str:
        if path:
            raise ValueError("is given|Leave it out: it is filled in from source.uri_prefix.")
        return path


class JobTemplate(TrainingJobRequest):
    config: JobConfigTemplate


class OnSuccess(Shape):
    """
    Attributes:
        deploy_to: None: the model is registered, and that is all.
        conditions: on the model's metrics; all have to hold, or it is not deployed.
        rollout: how it takes over from what is served; without it in place.
    """

    deploy_to: Environment | None = None
    conditions: Annotated[list[ConditionRequest], Field(max_length=MAX_CONDITIONS)] = Field(default_factory=list)
    replicas: Annotated[int, Field(ge=1, le=100)] | None = None
    resource_limits: ResourceRequirements | None = None
    scaling_policy: AutoScalingPolicy | None = None
    rollout: RolloutPlan | None = None

    @model_validator(mode="after")
    def _says_where(self) -> OnSuccess:
        if self.deploy_to is None and self.model_fields_set - {"deploy_to"}:
            raise ValueError("says how to deploy, and not where|Give deploy_to.")
        return self


class RetrainingPolicyRequest(Shape):
    """
    Attributes:
        debounce: a run is due when nothing has come for so long.
        max_wait: a run is due so long after its first object, whatever comes.
        min_objects, min_bytes: less than this starts no run.
        job: a training job request without `config.dataset_path`.
        concurrency: what becomes of a run that is due while the job of the one before has not ended.
        schema_check: of CSV files: what becomes of columns, types and ranges that are not those of the last run.
        budget_usd: of all its jobs in a calendar month (UTC).
    """

    name: Name
    enabled: bool = True
    source: Annotated[UploadSource | ManualSource, Field(discriminator="type")]
    debounce: Seconds = 60
    max_wait: Seconds = 3600
    min_objects: Annotated[int, Field(ge=1, le=10_000)] = 1
    min_bytes: Annotated[int, Field(ge=0, le=10**15)] = 0
    job: JobTemplate
    on_success: OnSuccess = OnSuccess()
    concurrency: Literal["queue", "skip", "replace"] = "queue"
    schema_check: Literal["refuse", "warn", "off"] = "warn"
    budget_usd: Annotated[float, Field(gt=0, le=MAX_BUDGET_USD)] | None = None
