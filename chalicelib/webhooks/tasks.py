"""What the queue of the webhooks calls, and each minute the clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.webhooks.gateways import lane_of

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform
    from chalicelib.webhooks.store import Lane


def deliver_webhooks(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    """Messages of the queue, each an event or a lane to look at; without messages, whatever is due.

    Names the messages that could not be taken in: they come again, and after five times become dead letters.
    """
    failed: list[dict[str, str]] = []
    if "Records" in event:
        lanes: list[Lane] = []
        for record in event["Records"]:
            try:
                lanes += _lanes(platform, json.loads(record["body"]))
            except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
                logger.exception("a message was not taken in", extra={"message_id": record["messageId"]})
                failed.append({"itemIdentifier": record["messageId"]})
        outcomes = platform.webhook_sending.run(lanes)
    else:
        outcomes = platform.webhook_sending.run_due()
    logger.info("delivered webhooks", extra={"outcomes": dict(outcomes), "failed": len(failed)})
    return {"batchItemFailures": failed}


def _lanes(platform: Platform, document: Mapping[str, Any]) -> list[Lane]:
    lane = lane_of(document)
    return [lane] if lane else platform.webhook_intake.take(document)
