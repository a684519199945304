"""The function that the state machine calls when a job's script has ended well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chalicelib.jobs.outcome import read_manifest
from chalicelib.log import logger

if TYPE_CHECKING:
    from chalicelib.bootstrap import Platform


def register_model(platform: Platform, event: Mapping[str, Any]) -> dict[str, Any]:
    """Register what the attempt left. A script that left no model is no failure: then `model_id` is null."""
    tenant, job_id, attempt = event["tenant"], event["job_id"], int(event["attempt"])
    job = platform.job_store.require(tenant, job_id)
    manifest = read_manifest(platform.objects, tenant, job_id, attempt)
    if manifest is None:
        raise LookupError(f"attempt {attempt} of job {job_id} ended without a manifest")
    model = platform.registration.register_from_job(job, attempt, manifest)
    if model is None:
        logger.info("no model", extra={"job_id": job_id, "attempt": attempt})
        return {"model_id": None}
    platform.lifecycle.set_model(tenant, job_id, model.model_id)
    logger.info("registered", extra={"job_id": job_id, "model_id": model.model_id, "version": model.version})
    return {"model_id": model.model_id}
