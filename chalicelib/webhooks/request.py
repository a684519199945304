"""The shapes of requests about webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chalicelib.shape import Shape
from chalicelib.webhooks.addresses import MAX_URL
from chalicelib.webhooks.webhook import EVENT_TYPES

DEFAULT_OVERLAP_HOURS, MAX_OVERLAP_HOURS = 24, 168

Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]
Description = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
EventTypes = Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(max_length=len(EVENT_TYPES))]


class WebhookRequest(Shape):
    """
    Attributes:
        event_types: what it wants; everything but metrics, when empty.
    """

    url: Url
    event_types: EventTypes = Field(default_factory=list)
    description: Description = ""


class WebhookChange(Shape):
    """What is not given stays as it is."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: Description | None = None
    status: Literal["active", "disabled"] | None = None


class RotationRequest(Shape):
    """
    Attributes:
        overlap_hours: how long the old secret goes on beside the new one; 0 ends it at once.
    """

    overlap_hours: Annotated[int, Field(ge=0, le=MAX_OVERLAP_HOURS)] = DEFAULT_OVERLAP_HOURS
