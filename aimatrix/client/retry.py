"""Which failures are worth another attempt, and how long to wait before it."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

RETRIED_STATUS = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter, bounded in attempts and in each wait.

    Full jitter (a uniform draw from zero to the ceiling) spreads the clients that one outage has synchronised:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Attributes:
        attempts: how many times a call is sent at most, the first one included.
        base: ceiling of the first wait, in seconds; it doubles from attempt to attempt.
        cap: the longest wait, in seconds. A ``Retry-After`` beyond it ends the retries: the caller should know.
    """

    attempts: int = 5
    base: float = 0.25
    cap: float = 20.0

    def delay(self, attempt: int, retry_after: float | None, rng: random.Random) -> float | None:
        """Seconds to wait after the ``attempt``-th failure (from 1), or None to give up."""
        if attempt >= self.attempts:
            return None
        ceiling = min(self.cap, self.base * 2 ** (attempt - 1))
        jittered = rng.uniform(0, ceiling)
        if retry_after is None:
            return jittered
        if retry_after > self.cap:
            return None
        # Not before the server's word, and not all at its very instant.
        return retry_after + jittered


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """``Retry-After`` as seconds from ``now``: a number, or an HTTP date (RFC 9110 section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - now).total_seconds())
