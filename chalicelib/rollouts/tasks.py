"""The function that the state machine `shift_traffic` calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


def advance_rollout(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    tenant, deployment_id, number = event["tenant"], event["deployment_id"], int(event["rollout"])
    seconds = platform.rollout_driving.turn(tenant, deployment_id, number, int(event["turns"]))
    logger.info("turn", extra={"deployment_id": deployment_id, "rollout": number, "again_in": seconds})
    return {"next": "wait", "seconds": seconds} if seconds is not None else {"next": "end", "seconds": 0}
