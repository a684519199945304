"""What the schedule calls, and the end of an execution that did not end its job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.log import logger, metric
from chalicelib.reconciler.gateways import Driving, Execution
from chalicelib.reconciler.repair import Kind, Repair

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform

# The function has 15 minutes; what one more job takes must fit in between.
SWEEP_SECONDS = 780.0
# The function has two minutes. A script that is stopped has as long to save its work.
FINISH_SECONDS = 90.0


class NotYet(Exception):
    """The job's attempt is still being stopped. The service that called calls again, and so does the schedule's sweep."""


def reconcile(platform: Platform, _event: object) -> dict[str, Any]:
    """Sweep, and keep the report.

    Metrics:
        Repairs: what a sweep had to put right.
        OrphanSeconds: for how long something ran that nobody owned.
        Unanswered: at how many things it could not look, because AWS did not answer.
    """
    report = platform.sweep.run(SWEEP_SECONDS, platform.sweep_store.after())
    platform.sweep_store.put(report)
    for repair in report.repairs:
        fields = {"tenant": repair.tenant, "subject": repair.subject, "detail": repair.detail}
        logger.warning("repaired", extra={"kind": repair.kind.value, **fields})
    metric("Repairs", len(report.repairs), platform.settings.stack)
    metric("OrphanSeconds", report.orphan_seconds, platform.settings.stack)
    metric("Unanswered", report.unanswered, platform.settings.stack)
    document = report.to_dict()
    logger.info("swept", extra={name: value for name, value in document.items() if name != "repairs"})
    return {"repairs": len(report.repairs), "complete": document["complete"]}


def on_execution_event(platform: Platform, event: Mapping[str, Any]) -> None:
    """A "Step Functions Execution Status Change" to failed, timed out or aborted: only a hint to look."""
    detail = event["detail"]
    given = json.loads(detail["input"]) if detail.get("input") else {}
    tenant = str(given.get("tenant", ""))
    if deployment_id := str(given.get("deployment_id", "")):
        _settle_deployment(platform, tenant, deployment_id)
    elif transform_id := str(given.get("transform_id", "")):
        _end_transform(platform, tenant, transform_id)
    else:
        _end_job(platform, tenant, str(given.get("job_id", "")), detail)


def _end_job(platform: Platform, tenant: str, job_id: str, detail: Mapping[str, Any]) -> None:
    job = platform.job_store.get(tenant, job_id) if tenant and job_id else None
    if job is None or job.status.is_finished:
        logger.info("nothing to end", extra={"job_id": job_id})
        list(platform.job_repairs.seal_again())
        return
    platform.meter.for_job(tenant, job_id)
    execution = platform.job_repairs.executions.of(job_id)
    if execution.driving is Driving.ABSENT and "status" in detail:
        # Gone with its machine: the event is the last that is known of it.
        execution = Execution.described(detail)
    if execution.driving is Driving.RUNNING:
        logger.info("driven again", extra={"job_id": job_id})
        return
    repair = platform.job_repairs.finish_at_last(job, execution, FINISH_SECONDS)
    logger.info("ended without its execution", extra={"job_id": job_id, "kind": repair.kind.value})
    if repair.kind is not Kind.FINISHED:
        raise NotYet(repair.detail)


def _end_transform(platform: Platform, tenant: str, transform_id: str) -> None:
    transform = platform.transform_store.get(tenant, transform_id)
    repairs = list(platform.transform_repairs.look_at_once(transform)) if transform and transform.status.is_open else []
    kinds = [repair.kind for repair in repairs]
    logger.info(
        "ended without its execution", extra={"transform_id": transform_id, "repairs": [k.value for k in kinds]}
    )
    if Kind.STOPPING in kinds:
        raise NotYet(repairs[-1].detail)


def _settle_deployment(platform: Platform, tenant: str, deployment_id: str) -> None:
    """At once where the endpoint has settled; what takes minutes is left to the sweeps."""
    deployment = platform.deployment_store.get(tenant, deployment_id)
    repairs: list[Repair] = []
    if deployment and deployment.is_live:
        repairs += platform.deployment_repairs.look_at_once(deployment)
        repairs += platform.rollout_repairs.look_at(deployment)
    kinds = [repair.kind.value for repair in repairs]
    logger.info("settled without its execution", extra={"deployment_id": deployment_id, "repairs": kinds})
