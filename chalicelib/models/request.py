"""The shapes of requests about models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chalicelib.jobs.request import Framework, Name, Uri
from chalicelib.shape import Shape

Version = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=128)]
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=250)]


class ModelRegistrationRequest(Shape):
    """A model that was made elsewhere."""

    name: Name
    framework: Framework
    artifact_path: Uri
    version: Version | None = None
    description: Annotated[str, StringConstraints(max_length=2000)] | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    metrics: dict[MetricName, float] = Field(default_factory=dict, max_length=500)


class ModelChange(Shape):
    """The one thing a caller may change about a model; deployments change the rest."""

    status: Literal["deprecated"]
