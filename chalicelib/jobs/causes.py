"""Why an attempt ended, and what follows from it: one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from chalicelib.jobs.gateways import BackendJob, BackendState


class Cause(Enum):
    """Causes in AWS's own categories; `script` is everything that the user's code did."""

    CAPACITY = "capacity"
    SPOT_INTERRUPTION = "spot-interruption"
    THROTTLING = "throttling"
    INTERNAL = "internal"
    IMAGE = "image"
    DATA = "data"
    SCRIPT = "script"
    TIME_LIMIT = "time-limit"
    STOPPED = "stopped"
    PREEMPTED = "preempted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Policy:
    """How often an attempt that ended so is followed by another, and after how many seconds (doubling)."""

    attempts: int
    wait_seconds: int


_NO_RETRY = Policy(attempts=1, wait_seconds=0)

POLICIES: dict[Cause, Policy] = {
    Cause.CAPACITY: Policy(attempts=8, wait_seconds=30),
    Cause.SPOT_INTERRUPTION: Policy(attempts=8, wait_seconds=5),
    Cause.THROTTLING: Policy(attempts=8, wait_seconds=5),
    Cause.INTERNAL: Policy(attempts=4, wait_seconds=2),
    Cause.IMAGE: Policy(attempts=2, wait_seconds=10),
    Cause.DATA: _NO_RETRY,
    Cause.SCRIPT: _NO_RETRY,
    Cause.TIME_LIMIT: _NO_RETRY,
    Cause.STOPPED: _NO_RETRY,
    # It waits for its turn in the queue, not for a time, and however often it has to.
    Cause.PREEMPTED: Policy(attempts=10_000, wait_seconds=0),
    Cause.REFUSED: _NO_RETRY,
}
MAX_WAIT_SECONDS = 900

# SageMaker puts the category before the colon of FailureReason; Batch says it in words of its own. First match wins.
_BY_REASON = (
    ("CapacityError", Cause.CAPACITY),
    ("Insufficient capacity", Cause.CAPACITY),
    ("ResourceLimitExceeded", Cause.CAPACITY),
    ("Spot", Cause.SPOT_INTERRUPTION),
    ("Host EC2", Cause.SPOT_INTERRUPTION),
    ("Throttl", Cause.THROTTLING),
    ("TooManyRequests", Cause.THROTTLING),
    ("InternalServerError", Cause.INTERNAL),
    ("InternalFailure", Cause.INTERNAL),
    ("ServiceUnavailable", Cause.INTERNAL),
    ("CannotPullContainer", Cause.IMAGE),
    ("ImageNotFound", Cause.IMAGE),
    ("AlgorithmError", Cause.SCRIPT),
    ("Essential container", Cause.SCRIPT),
    ("ClientError", Cause.DATA),
)


def cause_of(found: BackendJob, error: str | None) -> Cause:
    """Why an attempt that did not complete ended.

    Args:
        error: what Step Functions caught, `name: text`, when the backend knows nothing of the attempt.
    """
    if found.timed_out:
        return Cause.TIME_LIMIT
    if found.state is BackendState.STOPPED:
        return Cause.STOPPED
    text = found.reason or "" if found.state is BackendState.FAILED else error or ""
    for fragment, cause in _BY_REASON:
        if fragment in text:
            return cause
    return Cause.SCRIPT if found.state is BackendState.FAILED else Cause.REFUSED


def wait_before_retry(cause: Cause, attempt_number: int) -> int | None:
    """Seconds until the next attempt, or None when there is to be none."""
    policy = POLICIES[cause]
    if attempt_number >= policy.attempts:
        return None
    return min(MAX_WAIT_SECONDS, policy.wait_seconds << (attempt_number - 1))
