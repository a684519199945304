"""What an environment asks for, and who has approved a version: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from chalicelib.rollouts.rollout import GateType

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MIDNIGHT = "24:00"
SCALED_TO_ZERO = frozenset({"development"})
"""Environments without instances while nobody asks, where nobody says otherwise."""


@dataclass(frozen=True)
class ChangeWindow:
    """Hours of some days of the week in which changes may be made.

    Attributes:
        days: of `DAYS`.
        start, end: as HH:MM of that day's clock in `time_zone`; the end is no part of it, and may be 24:00.
    """

    days: tuple[str, ...]
    start: str
    end: str
    time_zone: str = "UTC"

    def is_open(self, now: datetime) -> bool:
        local = now.astimezone(ZoneInfo(self.time_zone))
        return DAYS[local.weekday()] in self.days and self.start <= f"{local:%H:%M}" < self.end

    def opens_after(self, now: datetime) -> datetime:
        """When it opens next."""
        zone = ZoneInfo(self.time_zone)
        today = now.astimezone(zone).date()
        begins = time.fromisoformat(self.start)
        days = (today + timedelta(days=ahead) for ahead in range(8))
        openings = (datetime.combine(day, begins, zone) for day in days if DAYS[day.weekday()] in self.days)
        # A window that opens today has perhaps done so: the same day of the next week is the eighth.
        return min(opening.astimezone(UTC) for opening in openings if opening > now)

    def __str__(self) -> str:
        return f"{', '.join(self.days)} {self.start} to {self.end} {self.time_zone}"


@dataclass(frozen=True)
class EnvironmentPolicy:
    """
    Attributes:
        deployers: users who may change what is served, of those who may deploy at all; None: all of them.
        approvals: how many of the approvers, beside the one who asks, must have approved a version before it is served.
        approvers: users whose approval counts.
        required_gates: a version takes over from another one only in a rollout that has gates of all these types.
        change_windows: when changes may be made; without any at all times.
        scale_to_zero: a deployment that asks for nothing that needs instances is serverless.
        user: who set it; None where nobody did.
    """

    tenant: str
    environment: str
    deployers: tuple[str, ...] | None = None
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    required_gates: tuple[GateType, ...] = ()
    change_windows: tuple[ChangeWindow, ...] = ()
    scale_to_zero: bool = False
    user: str | None = None
    updated_at: datetime | None = None

    @classmethod
    def initial(cls, tenant: str, environment: str) -> EnvironmentPolicy:
        """Of an environment of which nobody has said anything."""
        return cls(tenant, environment, scale_to_zero=environment in SCALED_TO_ZERO)

    def may_deploy(self, user: str) -> bool:
        return self.deployers is None or user in self.deployers

    def is_open(self, now: datetime) -> bool:
        return not self.change_windows or any(window.is_open(now) for window in self.change_windows)

    def opens_after(self, now: datetime) -> datetime:
        """When changes may be made again; to be asked of one that has windows."""
        return min(window.opens_after(now) for window in self.change_windows)


class ApprovalDecision(Enum):
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Approval:
    """What one user says of a version in an environment. What is said later replaces it."""

    environment: str
    user: str
    decision: ApprovalDecision
    at: datetime
    comment: str | None = None


def what_is_missing(policy: EnvironmentPolicy, user: str, given: Iterable[Approval]) -> str | None:
    """Why a version may not be served for this user; None when it may. Nobody approves what they ask for themselves."""
    counted = [each for each in given if each.environment == policy.environment and each.user in policy.approvers]
    rejecting = next((each for each in counted if each.decision is ApprovalDecision.REJECTED), None)
    if rejecting is not None:
        return f"was rejected by {rejecting.user}" + (f": {rejecting.comment}" if rejecting.comment else "")
    approving = [each for each in counted if each.user != user]
    if len(approving) >= policy.approvals:
        return None
    others = [each for each in policy.approvers if each not in {user, *(each.user for each in approving)}]
    asked = f"; ask {', '.join(others)}" if others else ""
    return f"has {len(approving)} of the {policy.approvals} approvals that it needs{asked}"
