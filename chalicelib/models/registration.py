"""A finished job's model enters both registries: ours, then MLflow's. Every step may be repeated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, derived_id
from chalicelib.identity.caller import Caller
from chalicelib.jobs.job import Job
from chalicelib.models.manifest import Trained, trained_model
from chalicelib.models.model import MlflowLink, Model, ModelStatus, mlflow_name
from chalicelib.models.store import ModelStore, StaleModel
from chalicelib.table import Write
from chalicelib.tracking.registry import NewVersion, TrackingRegistry


@dataclass(frozen=True)
class Registration:
    store: ModelStore
    registry: TrackingRegistry
    bucket: str
    now: Clock
    audit: Recorder

    def register_from_job(self, job: Job, attempt: int, manifest: Mapping[str, Any]) -> Model | None:
        """Record the model that a job left, as the next version of the job's name, and make it ready.

        The id follows from the job's, so a repeated call finds the model and goes on where the first one stopped.

        Returns:
            The model; None when the script left none.

        Raises:
            BadManifest: the manifest is not this attempt's.
            Unavailable: MLflow does not answer; the model stays in status training until a repetition gets through.
        """
        trained = trained_model(job, attempt, manifest, self.bucket)
        if trained is None:
            return None
        model = self.store.create(self._model(job, trained), self._entry(job))
        while model.status is ModelStatus.TRAINING:
            entered = self.registry.register(_new_version(model, job, trained))
            link = MlflowLink(entered.name, entered.version, entered.run_id, entered.alias)
            try:
                model = self.store.update(model, replace(model, mlflow=link).become(ModelStatus.READY), self.now())
            except StaleModel:
                model = self.store.get(model.tenant, model.model_id) or model
        return model

    def _entry(self, job: Job) -> Write:
        # By the service, for the job's owner: nobody sent a request for this.
        owner = Caller(job.tenant, job.user, frozenset())
        model = subject("model", _model_id(job))
        return self.audit.entry(owner, Action.REGISTER_MODEL, model, name=job.name, job=job.job_id)

    def _model(self, job: Job, trained: Trained) -> Model:
        now = self.now()
        return Model(
            tenant=job.tenant,
            model_id=_model_id(job),
            user=job.user,
            name=job.name,
            version="",
            framework=job.framework,
            archive=trained.archive,
            created_at=now,
            updated_at=now,
            kind=trained.kind,
            servable=trained.servable,
            servable_reason=trained.servable_reason,
            training_job_id=job.job_id,
            description=job.description,
            tags=job.tags,
            metrics=trained.metrics,
            artifacts=trained.artifacts,
            signature=trained.signature,
            input_example=trained.input_example,
        )


def _model_id(job: Job) -> str:
    return derived_id("model", job.tenant, job.job_id)


def _new_version(model: Model, job: Job, trained: Trained) -> NewVersion:
    tags = {
        "aimatrix.model_version": model.version,
        "aimatrix.job_id": job.job_id,
        "aimatrix.kind": model.kind,
        "aimatrix.servable": str(model.servable).lower(),
        "aimatrix.artifact": model.archive.uri,
        "aimatrix.sha256": model.archive.checksum or "",
    }
    if model.signature is not None:
        # A logged MLflow model carries its signature in its own files; the others have it here.
        tags["aimatrix.signature"] = json.dumps(model.signature, separators=(",", ":"))
    return NewVersion(
        name=mlflow_name(model.tenant, model.name),
        model_id=model.model_id,
        source=model.archive.uri,
        run_id=trained.run_id,
        logged_model_id=trained.logged_model_id,
        description=model.description,
        tags=tags,
    )
