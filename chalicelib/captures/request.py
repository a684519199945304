"""The shape of what is asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from chalicelib.shape import Shape

MAX_FIELDS = 100

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class DataCaptureRequest(Shape):
    """
    Attributes:
        percentage: of the requests that are answered.
        redact: fields whose values are not kept, by name, wherever they stand.
    """

    percentage: Annotated[float, Field(gt=0, le=100)] = 100.0
    redact: Annotated[list[Name], Field(max_length=MAX_FIELDS)] = Field(default_factory=list)
