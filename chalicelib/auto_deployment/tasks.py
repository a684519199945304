"""What the queue of the models that became ready calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


def deploy_ready_models(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    """Messages of the queue, each an event `training.model.ready`.

    Names the messages that could not be acted on: they come again, and in the end become dead letters.
    """
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        try:
            detail = json.loads(record["body"])["detail"]
            tenant, model_id = str(detail["tenantId"]), str(detail["modelId"])
            decision = platform.auto_deploying.take(tenant, model_id)
            reason = decision.reason if decision else "the model is gone"
            logger.info("decided", extra={"tenant": tenant, "model_id": model_id, "reason": reason})
        except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
            logger.exception("a model was not taken", extra={"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
