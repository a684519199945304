"""The functions that the state machine, the backends' events and the log subscription call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.jobs.job import parse_attempt_name
from chalicelib.jobs.reports import lines_of
from chalicelib.log import logger
from chalicelib.table import decode

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

Event = Mapping[str, Any]

SERVICE_JOB_EVENT = "Batch Service Job State Change"


def plan_job(platform: Platform, event: Event) -> dict[str, Any]:
    answer = platform.lifecycle.plan(event["tenant"], event["job_id"])
    logger.info("planned", extra={"job_id": event["job_id"], "next": answer["next"], "attempt": answer["attempt"]})
    return answer


def assess_attempt(platform: Platform, event: Event) -> dict[str, Any]:
    answer = platform.lifecycle.assess(event["tenant"], event["job_id"], event["attempt"], error_text(event))
    logger.info("assessed", extra={"job_id": event["job_id"], "next": answer["next"], "attempt": answer["attempt"]})
    return answer


def finish_job(platform: Platform, event: Event) -> dict[str, Any]:
    job = platform.finishing.finish(event["tenant"], event["job_id"], error_text(event))
    platform.receipts.issue(job)
    logger.info("finished", extra={"job_id": job.job_id, "status": job.status.value, "reason": job.failure_reason})
    return {"status": job.status.value}


def enqueue_attempt(platform: Platform, event: Event) -> dict[str, Any]:
    tenant, job_id, number = event["tenant"], event["job_id"], int(event["attempt"])
    is_answered = platform.enqueueing.enqueue(tenant, job_id, number, event["request"], event["token"])
    logger.info("in the queue", extra={"job_id": job_id, "attempt": number, "answered": is_answered})
    return {"answered": is_answered}


def on_training_event(platform: Platform, event: Event) -> None:
    """A state change of a SageMaker training job, a Batch job or a Batch service job: only a hint to look."""
    detail = event["detail"]
    parsed = parse_attempt_name(detail.get("TrainingJobName") or detail.get("jobName") or "")
    is_queued = event.get("detail-type") == SERVICE_JOB_EVENT
    tags = detail.get("Tags") or detail.get("tags") or {}
    tenant = tags.get("aimatrix:tenant")
    if parsed is not None and is_queued:
        tenant = platform.backends.queued.tenant_of(detail["jobArn"])
    if parsed is None or tenant is None:
        logger.info("not one of ours", extra={"event_id": event.get("id")})
        return
    job_id, number = parsed
    platform.meter.for_job(tenant, job_id)
    platform.lifecycle.observe(tenant, job_id, number)
    if is_queued:
        platform.enqueueing.answer(tenant, job_id, number)
    logger.info("observed", extra={"job_id": job_id, "attempt": number})


def record_history(platform: Platform, event: Event) -> None:
    """The stream of the table of jobs: every version of a record becomes a row of its ledger, once."""
    for record in event["Records"]:
        image = decode(record["dynamodb"]["NewImage"])
        is_new = platform.ledger.append(image)
        logger.info(
            "noted" if is_new else "noted before", extra={"job_id": image["job_id"], "version": image["version"]}
        )


def export_job(platform: Platform, event: Event) -> None:
    export = platform.exporting.run(event["tenant"], event["job_id"])
    files = {file.name: file.lines for file in export.files} if export else {}
    logger.info("exported" if export else "nothing to export", extra={"job_id": event["job_id"], "files": files})


def ingest_logs(platform: Platform, event: Event) -> None:
    messages = lines_of(event)
    refused = platform.reports.take(messages)
    logger.info("ingested", extra={"lines": len(messages), "refused": refused})


def error_text(event: Event) -> str | None:
    """What a machine caught, as `name: cause`.

    Lambda gives a function's error as a document with its stack trace, which is for the log and not for a job's owner:
    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    error = event.get("error")
    if not error:
        return None
    if isinstance(error, str):
        return error
    return ": ".join(_words(str(error[part])) for part in ("Error", "Cause") if error.get(part)) or "unknown error"


def _words(cause: str) -> str:
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        return cause
    return str(message)
