"""The functions that the state machine `transform_data` calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.machine import error_text

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

Event = Mapping[str, Any]

TIMED_OUT = "The transform did not end in time."
"""Why a transform failed that the machine gave up waiting for."""


def plan_transform(platform: Platform, event: Event) -> dict[str, Any]:
    answer = platform.transform_planning.plan(event["tenant"], event["transform_id"])
    logger.info("planned", extra={"transform_id": event["transform_id"], "next": answer["next"]})
    return answer


def finish_transform(platform: Platform, event: Event) -> dict[str, Any]:
    error = error_text(event.get("error"), timed_out=TIMED_OUT)
    transform = platform.transform_finishing.finish(event["tenant"], event["transform_id"], error)
    logger.info("finished", extra={"transform_id": transform.transform_id, "status": transform.status.value})
    return {"status": transform.status.value}
