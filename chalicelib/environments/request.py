"""The shape of an environment's policy, and of an approval."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from chalicelib.deployments.request import Environment
from chalicelib.environments.policy import MIDNIGHT
from chalicelib.shape import Shape

MAX_USERS = 100
MAX_WINDOWS = 20

User = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
GateName = Literal["error_rate", "latency", "alarm", "metric", "experiment", "drift"]
Hour = Annotated[str, StringConstraints(max_length=5, pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
End = Annotated[str, StringConstraints(max_length=5, pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]


class ChangeWindowRequest(Shape):
    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    start: Hour = "00:00"
    end: End = MIDNIGHT
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in _time_zones():
            raise ValueError(f"{name!r} is no time zone|Use a name of the IANA database, such as Europe/Berlin or UTC.")
        return name

    @model_validator(mode="after")
    def _has_a_length(self) -> ChangeWindowRequest:
        if self.start >= self.end:
            raise ValueError("ends before it starts|A window lies within a day: for a night give two of them.")
        return self


class ApprovalsRequest(Shape):
    required: Annotated[int, Field(ge=1, le=10)] = 1
    approvers: Annotated[list[User], Field(min_length=1, max_length=MAX_USERS)]


class EnvironmentPolicyRequest(Shape):
    """
    Attributes:
        deployers: None: everybody who may deploy.
        required_gates: types of gates that a rollout must have.
        scale_to_zero: whether a deployment is serverless unless it asks for instances; None: in development.
    """

    deployers: Annotated[list[User], Field(min_length=1, max_length=MAX_USERS)] | None = None
    approvals: ApprovalsRequest | None = None
    required_gates: Annotated[list[GateName], Field(max_length=20)] = Field(default_factory=list)
    change_windows: Annotated[list[ChangeWindowRequest], Field(max_length=MAX_WINDOWS)] = Field(default_factory=list)
    scale_to_zero: bool | None = None


class ApprovalRequest(Shape):
    environment: Environment
    decision: Literal["approved", "rejected"] = "approved"
    comment: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
