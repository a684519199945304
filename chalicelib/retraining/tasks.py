"""What the queue of retraining calls: uploads, runs that are to be looked at, and jobs that ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger
from chalicelib.retraining.gateways import look_of
from chalicelib.retraining.upload import NoUpload, Upload, upload_of

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

ROOM_MILLISECONDS = 40_000
"""What one message may take at most. A call that has less left hands the rest back, instead of losing all of them."""

_JOB_ENDED = "training.job.status-changed"
_TEST = "s3:TestEvent"


def retrain(
    platform: Platform, event: Mapping[str, Any], left: Callable[[], int] = lambda: ROOM_MILLISECONDS
) -> dict[str, Any]:
    """Messages of the queue, in any order.

    Names those that could not be acted on: they come again, and in the end become dead letters. What nobody can read becomes
    one at once, and holds nobody up.

    Args:
        left: milliseconds until Lambda ends this call.
    """
    uploads: dict[str, Upload] = {}
    others: dict[str, Mapping[str, Any]] = {}
    failed: set[str] = set()
    for record in event["Records"]:
        message_id = record["messageId"]
        try:
            document = _document(record["body"])
            if document is None:
                continue
            if look_of(document) or document.get("detail-type") == _JOB_ENDED:
                others[message_id] = document
            elif upload := upload_of(document):
                uploads[message_id] = upload
        except NoUpload as reason:
            if not _is_kept(platform, record["body"], str(reason)):
                failed.add(message_id)
    # Uploads first: they are many, and quickly written; a look may take some seconds.
    failed |= _gathered(platform, uploads)
    for message_id, document in others.items():
        if left() < ROOM_MILLISECONDS or not _is_acted_on(platform, message_id, document):
            failed.add(message_id)
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in sorted(failed)]}


def _document(body: str) -> Mapping[str, Any] | None:
    """
    Raises:
        NoUpload: nobody can read it.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise NoUpload("the message is no JSON object")
    return None if document.get("Event") == _TEST else document


def _is_kept(platform: Platform, body: str, reason: str) -> bool:
    logger.warning("no upload", extra={"reason": reason})
    try:
        platform.undelivered.keep_lost(body, reason)
    except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
        logger.exception("a dead letter was not kept")
        return False
    return True


def _is_acted_on(platform: Platform, message_id: str, document: Mapping[str, Any]) -> bool:
    try:
        if look := look_of(document):
            platform.retraining_starting.look(look)
        else:
            detail = document["detail"]
            platform.retraining_ending.take(str(detail["tenantId"]), str(detail["jobId"]))
    except Exception:  # noqa: BLE001  its neighbours go on, and it comes again
        logger.exception("a message was not taken", extra={"message_id": message_id})
        return False
    return True


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
