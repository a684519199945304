"""One event on its way to one webhook: attempts, pauses, and when it is given up. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

GIVEN_UP_AFTER = timedelta(hours=24)
# Pauses after each failure, in seconds: quick at first, for a receiver that restarts, then ever slower. 14 attempts in 24
# hours. What a draw from three quarters to five quarters of it spreads is those that failed together.
# https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
PAUSES = (5, 30, 120, 300, 900, 1800, 3600, 7200, *[14400] * 6)
_LEAST, _MOST = 0.75, 1.25
# What a receiver may ask for with Retry-After; it asks for no less than our own pause.
_LONGEST_WISH = timedelta(hours=4)
KEPT_ATTEMPTS = 20
GONE = 410

Uniform = Callable[[float, float], float]


class DeliveryStatus(Enum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up after 24 hours."""
    CANCELLED = "cancelled"
    """Its webhook was disabled meanwhile."""


@dataclass(frozen=True)
class Attempt:
    """
    Attributes:
        status: of the answer; None where there was none, and `error` says why.
        milliseconds: until the answer, or the failure.
        retry_after: what the receiver asked for.
    """

    at: datetime
    status: int | None
    milliseconds: int
    error: str | None = None
    retry_after: timedelta | None = field(default=None, compare=False)

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Delivery:
    """
    Attributes:
        event_id: the event's own id, and with the webhook's the delivery's.
        subject, order: what the event is about, and where it stands among the events of that.
        body: exactly what is sent and signed.
        until: when it is given up.
        next_at: of the next attempt; None when there is none.
        attempts: the last `KEPT_ATTEMPTS`; `count` is of all.
        wish: how often its owner has asked for it again.
        version: one more with each change.
    """

    tenant: str
    webhook_id: str
    event_id: str
    kind: str
    subject: str
    order: int
    body: str = field(repr=False)
    created_at: datetime
    until: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    next_at: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    count: int = 0
    since_wished: int = 0
    """Attempts since it was made, or wished for again: what the pauses go by."""
    wish: int = 0
    version: int = 1

    @property
    def is_pending(self) -> bool:
        return self.status is DeliveryStatus.PENDING

    def after(self, attempt: Attempt, uniform: Uniform) -> Delivery:
        """What it is after an attempt."""
        tried = replace(self.beside(attempt), since_wished=self.since_wished + 1)
        if attempt.is_success:
            return replace(tried, status=DeliveryStatus.DELIVERED, next_at=None)
        if attempt.at >= self.until or attempt.status == GONE:
            return replace(tried, status=DeliveryStatus.FAILED, next_at=None)
        base = PAUSES[min(self.since_wished, len(PAUSES) - 1)]
        pause = timedelta(seconds=base * uniform(_LEAST, _MOST))
        if attempt.retry_after:
            pause = max(pause, min(attempt.retry_after, _LONGEST_WISH))
        # The last attempt is made when the time is over, not some hours before.
        return replace(tried, next_at=min(attempt.at + pause, self.until))

    def beside(self, attempt: Attempt) -> Delivery:
        """What it is after an attempt that was begun before it was wished for again: the wish stands."""
        attempts = (*self.attempts, attempt)[-KEPT_ATTEMPTS:]
        return replace(self, attempts=attempts, count=self.count + 1)

    def cancelled(self) -> Delivery:
        return replace(self, status=DeliveryStatus.CANCELLED, next_at=None)

    def again(self, now: datetime) -> Delivery:
        """The same event, wished for once more: with a day of its own."""
        return replace(
            self,
            status=DeliveryStatus.PENDING,
            next_at=now,
            until=now + GIVEN_UP_AFTER,
            since_wished=0,
            wish=self.wish + 1,
        )


def body_of(kind: str, occurred_at: str, data: Mapping[str, Any]) -> str:
    """The payload, in the form of https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    payload = {"type": kind, "timestamp": occurred_at, "data": data}
    # ASCII: what a receiver hashes must not depend on how it decodes.
    return json.dumps(payload, separators=(",", ":"))
