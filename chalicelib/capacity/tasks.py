"""The functions that the state machine and the clock call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

# Of the minute until the next call.
ADMIT_SECONDS = 40.0


def await_capacity(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    is_answered = platform.admission.begin_to_wait(event["tenant"], event["job_id"], event["token"])
    logger.info("waiting", extra={"job_id": event["job_id"], "answered": is_answered})
    return {"answered": is_answered}


def admit_jobs(platform: Platform, _event: object) -> dict[str, Any]:
    """Once a minute: what became old, what was raised, and what a lost call or a dead process left undone."""
    admitted = platform.capacity_upkeep.all(ADMIT_SECONDS)
    logger.info("looked after", extra={"admitted": admitted})
    return {"admitted": sum(admitted.values())}
