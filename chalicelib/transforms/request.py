"""The shape of a transform. Meaning is checked in `rules.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chalicelib.jobs.request import ResourceRequirements, Uri
from chalicelib.shape import Shape

MAX_INSTANCES = 20

MediaType = Annotated[
    str, StringConstraints(min_length=3, max_length=128, pattern=r"^[a-z]+/[a-zA-Z0-9.+-]+(; ?[a-zA-Z0-9=_-]+)?$")
]


class TransformRequest(Shape):
    """
    Attributes:
        input: a file, or what the names of all files begin with.
        content_type: of the input.
        accept: of the answers; None: as the input.
        split: into records; None: by line for text/csv, not at all for others.
        resource_limits: what each instance must have; None: a small one without a GPU.
    """

    input: Uri
    content_type: MediaType = "text/csv"
    accept: MediaType | None = None
    split: Literal["line", "none"] | None = None
    batch_strategy: Literal["multi-record", "single-record"] = "multi-record"
    max_payload_mb: Annotated[int, Field(ge=1, le=100)] = 6
    max_concurrent_transforms: Annotated[int, Field(ge=1, le=100)] = 1
    resource_limits: ResourceRequirements | None = None
    instance_count: Annotated[int, Field(ge=1, le=MAX_INSTANCES)] = 1
