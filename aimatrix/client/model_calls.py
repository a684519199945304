"""The calls about models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.deployments import Deployment, DeploymentConfig
from aimatrix.client.environments import Approval
from aimatrix.client.errors import NotFoundError
from aimatrix.client.models import Model
from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport

MODELS = "/models"


@dataclass(frozen=True)
class ModelCalls:
    """``client.models``."""

    transport: Transport

    def list(self, *, framework: str | None = None, status: str | None = None, page_size: int = 50) -> Iterator[Model]:
        """The models the caller may see, latest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"framework": framework, "status": status, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", MODELS, params=params)

        return (Model.from_document(each) for each in each_document(fetch, "models"))

    def get(self, model_id: str) -> Model:
        return Model.from_document(self.transport.document("GET", _path(model_id)))

    def find(self, reference: str) -> Model:
        """The model that ``name:version`` means, or the latest version for ``name`` alone.

        Raises:
            NotFoundError: no model of that name, or not that version.
        """
        name, _, version = reference.rpartition(":") if ":" in reference else (reference, "", "")
        for model in self.list():
            if model.name == name and version in ("", model.version):
                return model
        raise NotFoundError(404, "model_not_found", f"no model {reference}")

    def register(
        self,
        name: str,
        framework: str,
        artifact_path: str,
        *,
        version: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
    ) -> Model:
        """Registers a model that was trained elsewhere and lies in the artifact store."""
        body: dict[str, Any] = {"name": name, "framework": framework, "artifact_path": artifact_path}
        optional = {"version": version, "description": description, "tags": list(tags), "metrics": dict(metrics or {})}
        body.update({key: value for key, value in optional.items() if value})
        return Model.from_document(self.transport.document("POST", MODELS, body=body))

    def deprecate(self, model_id: str) -> Model:
        """Marks a model as no longer to be used. Sent at most once: PATCH isn't repeatable by itself."""
        return Model.from_document(self.transport.document("PATCH", _path(model_id), body={"status": "deprecated"}))

    def deploy(self, model_id: str, config: DeploymentConfig) -> Deployment:
        """Serves a model in an environment; replaces, in place, another version of it that is served there.

        The service answers before the endpoint is up: see ``client.deployments.wait``.

        Raises:
            ConflictError: the model can't be served; the message says why.
        """
        document = self.transport.document("POST", f"{_path(model_id)}/deploy", body=config.to_document())
        return Deployment.from_document(document)

    def approve(
        self, model_id: str, environment: str, *, decision: str = "approved", comment: str | None = None
    ) -> Approval:
        """Says that a version may be served in an environment, or may not (``rejected``); the last word counts.

        Raises:
            ForbiddenError: the caller is not one of the environment's approvers.
            InvalidRequestError: the environment asks for no approvals.
        """
        body = {"environment": environment, "decision": decision, **({"comment": comment} if comment else {})}
        return Approval.from_document(self.transport.document("POST", f"{_path(model_id)}/approvals", body=body))

    def approvals(self, model_id: str) -> Sequence[Approval]:
        """What has been said of a version, by environment and user."""
        found = self.transport.document("GET", f"{_path(model_id)}/approvals")["approvals"]
        return [Approval.from_document(each) for each in found]


def _path(model_id: str) -> str:
    return f"{MODELS}/{quote(model_id, safe='')}"
