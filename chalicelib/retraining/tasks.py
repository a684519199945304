"""What the queue of retraining calls: uploads, runs that are to be looked at, and jobs that ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.retraining.gateways import look_of
from chalicelib.retraining.upload import NoUpload, Upload, upload_of

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

_JOB_ENDED = "training.job.status-changed"


def retrain(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    """Messages of the queue, in any order.

    Names those that could not be acted on: they come again, and in the end become dead letters. What nobody can read becomes
    one at once, and holds nobody up.
    """
    failed: set[str] = set()
    uploads: dict[str, Upload] = {}
    for record in event["Records"]:
        message_id = record["messageId"]
        try:
            upload = _taken(platform, record["body"])
        except NoUpload as reason:
            platform.undelivered.keep_lost(record["body"], str(reason))
            logger.warning("no upload", extra={"message_id": message_id, "reason": str(reason)})
        except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
            logger.exception("a message was not taken", extra={"message_id": message_id})
            failed.add(message_id)
        else:
            if upload is not None:
                uploads[message_id] = upload
    failed |= _gathered(platform, uploads)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failed)]}


def _taken(platform: Platform, body: str) -> Upload | None:
    """Acts on a message, unless it is an upload: those are taken together.

    Raises:
        NoUpload: it is nothing that could be acted on.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NoUpload("the message is no JSON object")
    if document.get("Event") == "s3:TestEvent":
        return None
    if look := look_of(document):
        platform.retraining_starting.look(look)
        return None
    if document.get("detail-type") == _JOB_ENDED:
        detail = document["detail"]
        platform.retraining_ending.take(str(detail["tenantId"]), str(detail["jobId"]))
        return None
    upload = upload_of(document)
    if upload is None:
        raise NoUpload("the message is no event of an object, and asks for nothing")
    return upload


def _gathered(platform: Platform, uploads: Mapping[str, Upload]) -> set[str]:
    """Takes uploads; which messages were not taken. One that fails by itself must not fail its neighbours."""
    if not uploads:
        return set()
    try:
        taken = platform.retraining_collecting.take(uploads.values())
    except Exception:  # noqa: BLE001  one by one, then
        logger.exception("uploads were not taken together", extra={"messages": len(uploads)})
    else:
        logger.info("gathered", extra={"messages": len(uploads), "taken": taken})
        return set()
    failed = set()
    for message_id, upload in uploads.items():
        try:
            platform.retraining_collecting.take([upload])
        except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
            logger.exception("an upload was not taken", extra={"message_id": message_id})
            failed.add(message_id)
    return failed
