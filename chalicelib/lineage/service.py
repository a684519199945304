"""Follows the references of records upstream and downstream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.clock import is_id, to_text
from chalicelib.deployments.deployment import Deployment, DeploymentFilter
from chalicelib.deployments.store import DeploymentStore
from chalicelib.errors import NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import Job
from chalicelib.jobs.store import JobStore
from chalicelib.lineage.lineage import Lineage, Node
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.retraining.run import Run
from chalicelib.retraining.store import RetrainingStore

MOST = 100
"""Of the jobs of one data version, and of the deployments of one model."""


@dataclass(frozen=True)
class LineageService:
    jobs: JobStore
    models: ModelStore
    deployments: DeploymentStore
    retraining: RetrainingStore

    def of(self, caller: Caller, node_id: str) -> Lineage:
        """What a data version, a job, a model or a deployment came from, and what came of it.

        What the caller may not see, such as jobs of others, is left out, and what lies behind it.

        Raises:
            NotFound: no such thing, or not this caller's to see.
        """
        caller.require(Permission.JOBS_READ)
        if not is_id(node_id):
            raise NotFound("data version, job, model or deployment")
        if job := self._job(caller, node_id):
            return self._of_job(caller, job)
        if model := self._model(caller, node_id):
            return self._of_model(caller, model)
        if caller.may(Permission.DEPLOYMENTS_READ) and (found := self.deployments.get(caller.tenant, node_id)):
            return self._of_deployment(caller, found)
        return self._of_data(caller, node_id)

    def _of_job(self, caller: Caller, job: Job) -> Lineage:
        downstream = list(self._models(caller, job))
        return Lineage(_job_node(job, None), (self._data_node(job),), tuple(downstream), _is_cut(downstream))

    def _of_model(self, caller: Caller, model: Model) -> Lineage:
        downstream = list(self._deployments(caller, model))
        return Lineage(
            _model_node(model, None), tuple(self._origin(caller, model)), tuple(downstream), _is_cut(downstream)
        )

    def _of_deployment(self, caller: Caller, deployment: Deployment) -> Lineage:
        upstream: list[Node] = []
        for variant in deployment.current.hosted:
            if model := self._model(caller, variant.model_id):
                upstream += (_model_node(model, deployment.deployment_id), *self._origin(caller, model))
        return Lineage(_deployment_node(deployment, None), tuple(upstream), ())

    def _of_data(self, caller: Caller, data_id: str) -> Lineage:
        runs = self.retraining.by_data(caller.tenant, data_id, MOST)
        asked: Node | None = None
        downstream: list[Node] = []
        for run in runs:
            job = self._job(caller, run.job_id or "")
            if job is None:
                continue
            asked = asked or _version_node(run, None)
            downstream += (_job_node(job, data_id), *self._models(caller, job))
        if asked is None:
            raise NotFound("data version, job, model or deployment")
        return Lineage(asked, (), tuple(downstream), len(runs) == MOST or _is_cut(downstream))

    def _job(self, caller: Caller, job_id: str) -> Job | None:
        """A job that the caller may see."""
        job = self.jobs.get(caller.tenant, job_id) if is_id(job_id) else None
        is_seen = job is not None and (job.user == caller.user or caller.may(Permission.JOBS_READ_ALL))
        return job if is_seen else None

    def _model(self, caller: Caller, model_id: str) -> Model | None:
        return self.models.get(caller.tenant, model_id) if caller.may(Permission.MODELS_READ) else None

    def _origin(self, caller: Caller, model: Model) -> Iterator[Node]:
        """The job of a model and that job's data."""
        if job := self._job(caller, model.training_job_id or ""):
            yield _job_node(job, model.model_id)
            yield self._data_node(job)

    def _data_node(self, job: Job) -> Node:
        run = self.retraining.by_job(job.tenant, job.job_id)
        if run is not None and run.data is not None:
            return _version_node(run, job.job_id)
        # Of a job that a person submitted the address is known, not what lay there.
        return Node("data", None, job.job_id, {"uri": job.config["dataset_path"]})

    def _models(self, caller: Caller, job: Job) -> Iterator[Node]:
        """The model of a job and what serves it."""
        model = self._model(caller, job.model_id) if job.model_id else None
        if model is not None:
            yield _model_node(model, job.job_id)
            yield from self._deployments(caller, model)

    def _deployments(self, caller: Caller, model: Model) -> Iterator[Node]:
        if not caller.may(Permission.DEPLOYMENTS_READ):
            return iter(())
        page = self.deployments.search(caller.tenant, DeploymentFilter(model_id=model.model_id), MOST, 0, None)
        return (_deployment_node(deployment, model.model_id) for deployment in page.deployments)


def _version_node(run: Run, of: str | None) -> Node:
    data = run.data
    about = {"uri": data.uri, "objects": data.objects, "bytes": data.size} if data else {}
    checksum = {"checksum": f"sha256:{data.checksum}"} if data else {}
    by = {"retraining_policy_id": run.policy_id, "retraining_run_id": str(run.number)}
    return Node("data", data.data_id if data else None, of, {**about, **checksum, **by})


def _job_node(job: Job, of: str | None) -> Node:
    about = {"name": job.name, "status": job.status.value, "user_id": job.user, "created_at": to_text(job.created_at)}
    return Node("job", job.job_id, of, about)


def _model_node(model: Model, of: str | None) -> Node:
    about = {"name": model.name, "version": model.version, "status": model.status.value}
    return Node("model", model.model_id, of, {**about, "checksum": model.archive.checksum})


def _deployment_node(deployment: Deployment, of: str | None) -> Node:
    about = {"name": deployment.name, "environment": deployment.environment, "status": deployment.status.value}
    return Node("deployment", deployment.deployment_id, of, about)


def _is_cut(nodes: list[Node]) -> bool:
    return sum(node.type == "deployment" for node in nodes) >= MOST
