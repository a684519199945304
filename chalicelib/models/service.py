"""List, get and deprecate models, and register one that was made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker
from chalicelib.errors import Conflict, NotFound
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.models.external import ExternalArtifacts
from chalicelib.models.model import Model, ModelFilter, ModelStatus, Use
from chalicelib.models.request import ModelRegistrationRequest
from chalicelib.models.store import ModelPage, ModelStore, StaleModel, VersionTaken


@dataclass(frozen=True)
class ModelService:
    store: ModelStore
    artifacts: ExternalArtifacts
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def register(self, caller: Caller, request: ModelRegistrationRequest) -> Model:
        """Record a model from the caller's own files, which are copied: what is registered does not change any more.

        It is ready at once, and known here only: MLflow's registry lists what runs have made.

        Raises:
            InvalidRequest, RefusedValue: what is wrong with the file, by field.
            Conflict: the name has this version already.
        """
        caller.require(Permission.MODELS_REGISTER)
        found = self.artifacts.inspect(caller, request.artifact_path)
        if request.version and self.store.has_version(caller.tenant, request.name, request.version):
            raise _taken(request.name, request.version)
        model_id = self.new_id()
        archive = self.artifacts.keep(caller.tenant, model_id, found)
        now = self.now()
        model = Model(
            tenant=caller.tenant,
            model_id=model_id,
            user=caller.user,
            name=request.name,
            version=request.version or "",
            framework=request.framework,
            archive=archive,
            created_at=now,
            updated_at=now,
            kind=found.kind,
            servable=found.unservable_reason is None,
            servable_reason=found.unservable_reason,
            status=ModelStatus.READY,
            description=request.description,
            tags=tuple(dict.fromkeys(request.tags)),
            metrics=request.metrics,
            artifacts=(
                {
                    "name": found.path.name,
                    "type": "model",
                    "path": archive.uri,
                    "size_bytes": archive.size_bytes,
                    "checksum": archive.checksum,
                },
            ),
        )
        registered = self.audit.entry(
            caller,
            Action.REGISTER_EXTERNAL_MODEL,
            subject("model", model_id),
            name=request.name,
            artifact=request.artifact_path,
        )
        try:
            return self.store.create(model, registered)
        except VersionTaken as taken:
            raise _taken(request.name, str(taken)) from None

    def search(self, caller: Caller, wanted: ModelFilter, limit: int, offset: int, cursor: str | None) -> ModelPage:
        """The tenant's models, newest first."""
        caller.require(Permission.MODELS_READ)
        return self.store.search(caller.tenant, wanted, limit, offset, ModelStore.cursor(cursor, caller.tenant, wanted))

    def get(self, caller: Caller, model_id: str) -> Model:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.MODELS_READ)
        return self._there(caller, model_id)

    def deprecate(self, caller: Caller, model_id: str) -> Model:
        """Take a model out of use. Doing it again changes nothing.

        Raises:
            NotFound: not there, or another tenant's.
            Forbidden: somebody else's, and the caller may only deprecate own ones.
            Conflict: a deployment serves it, or is about to.
        """
        if not caller.may(Permission.MODELS_DEPRECATE_ALL):
            caller.require(Permission.MODELS_REGISTER)
            if self._there(caller, model_id).user != caller.user:
                caller.require(Permission.MODELS_DEPRECATE_ALL)
        return self._deprecated(caller, model_id)

    def delete(self, caller: Caller, model_id: str) -> None:
        """Delete a model that nothing serves. Files of its own go with it; those of its job stay with the job.

        It is deprecated first, so that no deployment begins to use it while its files go.

        Raises:
            NotFound: there is no such model in the caller's tenant.
            Conflict: a deployment serves it, or is about to, or it changed at this moment.
        """
        caller.require(Permission.MODELS_DELETE)
        model = self._deprecated(caller, model_id)
        self.artifacts.discard(model.tenant, model.model_id)
        name = f"{model.name}:{model.version}"
        deleted = self.audit.entry(caller, Action.DELETE_MODEL, subject("model", model_id), owner=model.user, name=name)
        try:
            self.store.delete(model, deleted)
        except StaleModel:
            raise Conflict("The model changed at the same moment. Try again.") from None

    def _deprecated(self, caller: Caller, model_id: str) -> Model:
        while True:
            model = self._there(caller, model_id)
            if model.status is ModelStatus.DEPRECATED:
                return model
            require_unused(model)
            deprecated = model.become(ModelStatus.DEPRECATED)
            changed = self.audit.entry(
                caller, Action.CHANGE_MODEL, subject("model", model_id), status=deprecated.status.value
            )
            try:
                return self.store.update(model, deprecated, self.now(), changed)
            except StaleModel:
                continue

    def _there(self, caller: Caller, model_id: str) -> Model:
        model = self.store.get(caller.tenant, model_id)
        if model is None:
            raise NotFound("model")
        return model


def require_unused(model: Model) -> None:
    """
    Raises:
        Conflict: something serves or asks it.
    """
    if deployments := model.used_for(Use.CLAIMED, Use.SERVED):
        raise Conflict(
            f"The model is used by {len(deployments)} deployment(s): {', '.join(deployments)}. "
            "Delete them, or deploy another version there, first."
        )
    if transforms := model.used_for(Use.TRANSFORMS):
        raise Conflict(
            f"The model is used by {len(transforms)} transform(s): {', '.join(transforms)}. "
            "Wait until they have ended, or cancel them, first."
        )


def _taken(name: str, version: str) -> Conflict:
    return Conflict(f"The model {name} has a version {version} already. Leave version out to get the next number.")
