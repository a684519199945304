"""The shape of a training job request: names, types and choices. Bounds and meaning are checked in `rules.py`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from chalicelib.jobs.secrets import SecretVariables
from chalicelib.shape import Shape

MAX_PARAMETER_BYTES = 64 * 1024
MAX_RUNTIME_SECONDS = 28 * 24 * 3600  # SageMaker's own limit for a training job
DEFAULT_RUNTIME_SECONDS = 24 * 3600
MAX_COST_USD = 1_000_000
MAX_ATTEMPTS = 20

Framework = Literal["tensorflow", "pytorch", "sklearn", "xgboost", "custom"]
RetryCause = Literal[
    "capacity", "spot-interruption", "throttling", "internal", "image", "out-of-memory", "data", "script"
]
MOVES: dict[str, RetryCause] = {
    "larger_instance": "out-of-memory",
    "other_instance_type": "capacity",
    "other_backend": "capacity",
}
"""What a job allows its next attempt to move to, and after which cause."""

Priority = Literal["low", "medium", "high", "critical"]

# An MLflow experiment, a registered model and an endpoint are named after the job.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=1100)]


class MetricDefinition(Shape):
    """A metric read from what the script prints; the first group of the expression is the value."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=250)]
    regex: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class ResourceRequirements(Shape):
    gpu_count: int = 1
    gpu_type: Literal["v100", "a100", "h100", "t4"] = "v100"
    memory_gb: int = 16
    cpu_cores: int = 8
    disk_gb: int = 100


class Environment(Shape):
    docker_image: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    environment_variables: dict[str, str] = Field(default_factory=dict, max_length=64)
    secret_variables: SecretVariables = Field(default_factory=dict)
    backend: Literal["sagemaker", "batch"] = "sagemaker"
    arguments: Literal["auto", "document", "script_mode"] = "auto"


class Retry(Shape):
    """What follows a failed attempt, where the table of causes is not what the user wants."""

    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] | None = None
    on: Annotated[list[RetryCause], Field(max_length=8)] | None = None
    larger_instance: bool = False
    other_instance_type: bool = False
    other_backend: bool = False

    @field_validator("on")
    @classmethod
    def _distinct(cls, on: list[RetryCause] | None) -> list[RetryCause] | None:
        if on is not None and len(set(on)) != len(on):
            raise ValueError("holds the same cause twice | Give each cause once.")
        return on

    @model_validator(mode="after")
    def _moves_belong_to_a_cause(self) -> Retry:
        for name, cause in MOVES.items():
            if getattr(self, name) and self.on is not None and cause not in self.on:
                raise ValueError(
                    f"{name} follows {cause}, which is not in on | Add {cause} to on, or leave {name} out."
                )
        return self


class TrainingConfig(Shape):
    script_path: Uri
    dataset_path: Uri
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=100)
    resource_requirements: ResourceRequirements = Field(default_factory=ResourceRequirements)
    environment: Environment = Field(default_factory=Environment)
    metric_definitions: list[MetricDefinition] = Field(default_factory=list, max_length=40)
    max_runtime_seconds: int = DEFAULT_RUNTIME_SECONDS
    max_cost_usd: Annotated[float, Field(gt=0, le=MAX_COST_USD)] | None = None
    over_budget: Literal["refuse", "shorten"] = "refuse"
    retry: Retry | None = None
    spot: bool = False
    max_wait_seconds: int | None = None
    expected_runtime_seconds: Annotated[int, Field(ge=1, le=MAX_RUNTIME_SECONDS)] | None = None
    checkpoint_path: Uri | None = None
    checkpoint_interval_seconds: Annotated[int, Field(ge=1, le=MAX_RUNTIME_SECONDS)] | None = None

    @field_validator("parameters")
    @classmethod
    def _fits_a_record(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(json.dumps(parameters, ensure_ascii=False, allow_nan=False).encode())
        except ValueError:
            # 1e400 is a number in JSON, but none that a machine has; the next reader would get `Infinity`, not JSON.
            raise ValueError("has a number that is not finite | Use finite numbers, or text.") from None
        if size > MAX_PARAMETER_BYTES:
            raise ValueError(
                f"has {size:,} bytes | Use at most {MAX_PARAMETER_BYTES:,}; put large values into the dataset."
            )
        if _has_nul(parameters):
            raise ValueError("has a NUL character | Remove it: no process can be given one.")
        return parameters


class TrainingJobRequest(Shape):
    name: Name
    framework: Framework
    config: TrainingConfig
    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    priority: Priority = "medium"
    tags: list[Annotated[str, StringConstraints(min_length=1, max_length=128)]] = Field(
        default_factory=list, max_length=50
    )

    @model_validator(mode="after")
    def _tags_are_distinct(self) -> TrainingJobRequest:
        if len(set(self.tags)) != len(self.tags):
            raise ValueError("tags holds the same tag twice | Give each tag once.")
        return self


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any("\0" in name or _has_nul(each) for name, each in value.items())
    if isinstance(value, list):
        return any(_has_nul(each) for each in value)
    return isinstance(value, str) and "\0" in value
