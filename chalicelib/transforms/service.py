"""Begin, list, get, cancel, and find the answers. What happens in between is the state machine's part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.audit.entry import Action, subject
from chalicelib.audit.recorder import Recorder
from chalicelib.clock import Clock, IdMaker, derived_id, is_id
from chalicelib.cursor import Cursor
from chalicelib.deployments.rules import check_model
from chalicelib.errors import Conflict, FieldProblem, InvalidRequest, NotFound, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.rules import confined
from chalicelib.machine import StateMachine
from chalicelib.models.model import Model
from chalicelib.models.store import ModelStore
from chalicelib.objects import Objects
from chalicelib.transforms import rules, views
from chalicelib.transforms.gateways import TransformJobs
from chalicelib.transforms.request import TransformRequest
from chalicelib.transforms.store import StaleTransform, TransformPage, TransformStore
from chalicelib.transforms.transform import Transform

MAX_OBJECTS = 10_000
MAX_KEY = 128
URL_SECONDS = 900


@dataclass(frozen=True)
class OutputPage:
    outputs: tuple[Mapping[str, Any], ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class TransformService:
    store: TransformStore
    models: ModelStore
    objects: Objects
    jobs: TransformJobs
    machine: StateMachine
    now: Clock
    new_id: IdMaker
    audit: Recorder

    def start(self, caller: Caller, model_id: str, request: TransformRequest, key: str | None = None) -> Transform:
        """Ask a model for its answers to all objects below a prefix. The intent is recorded before anything is started.

        Args:
            key: the same request under the same key is the same transform, and makes sure that its machine runs.

        Raises:
            NotFound: no such model, or another tenant's.
            Conflict: the model can't be served, or the key was used for something else.
            RefusedValue, InvalidRequest: what is wrong, by field.
        """
        caller.require(Permission.MODELS_DEPLOY)
        settings, instance = rules.settings(request), rules.instance(request)
        transform_id = self._id(caller, key)
        while True:
            existing = self.store.get(caller.tenant, transform_id) if key is not None else None
            if existing is not None:
                asked = (model_id, request.input, settings, request.instance_count)
                if (existing.model_id, existing.source, existing.settings, existing.instance_count) != asked:
                    raise Conflict("The idempotency key was used for another transform. Use another key.")
                return self._driven(existing)
            model = self.models.get(caller.tenant, model_id)
            if model is None:
                raise NotFound("model")
            check_model(model)
            source = confined("input", request.input, caller, self.objects.bucket)
            now = self.now()
            transform = Transform(
                tenant=caller.tenant,
                transform_id=transform_id,
                user=caller.user,
                model_id=model_id,
                model_name=model.name,
                model_version=model.version,
                source=source.uri,
                settings=settings,
                instance_type=instance.name,
                instance_count=request.instance_count,
                usd_per_hour=instance.usd_per_hour,
                created_at=now,
                updated_at=now,
            )
            self._check_input(source.key)
            try:
                self._record(caller, transform, model)
            except StaleTransform:
                continue
            return self._driven(transform)

    def search(
        self, caller: Caller, model_id: str | None, limit: int, offset: int, cursor: str | None
    ) -> TransformPage:
        """The tenant's transforms, newest first."""
        caller.require(Permission.DEPLOYMENTS_READ)
        if model_id is not None and not is_id(model_id):
            return TransformPage((), None)
        after = TransformStore.cursor(cursor, caller.tenant, model_id)
        return self.store.search(caller.tenant, model_id, limit, offset, after)

    def get(self, caller: Caller, transform_id: str) -> Transform:
        """
        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        return self._there(caller, transform_id)

    def outputs(self, caller: Caller, transform_id: str, limit: int, cursor: str | None) -> OutputPage:
        """The files with its answers, each with an address that gives it for a while: for who began it, and who may deploy.

        Raises as `get`, and:
            Forbidden: it is somebody else's.
        """
        caller.require(Permission.DEPLOYMENTS_READ)
        transform = self._there(caller, transform_id)
        if transform.user != caller.user:
            # They are about data that lies in a place of its user's own.
            caller.require(Permission.MODELS_DEPLOY)
        below = transform.output_prefix
        after = Cursor.decode(cursor, names=frozenset({"after"}))
        page = self.objects.page(below, limit, f"{below}{after.key['after']}" if after else None)
        outputs = tuple(
            {
                "name": each.key.removeprefix(below),
                "uri": self.objects.uri(each.key),
                "size": each.size,
                "url": self.objects.presigned_get(each.key, URL_SECONDS),
            }
            for each in page
        )
        following = Cursor({"after": str(outputs[-1]["name"])}) if len(page) == limit else None
        return OutputPage(outputs, following)

    def cancel(self, caller: Caller, transform_id: str) -> Transform:
        """Stop it, and store nothing; one that has ended stays as it is. Asking again asks SageMaker again.

        Raises:
            NotFound: not there, or another tenant's.
        """
        caller.require(Permission.MODELS_DEPLOY)
        while True:
            transform = self._there(caller, transform_id)
            if not transform.status.is_open:
                return transform
            after = transform.cancelling()
            if after != transform:
                entry = self.audit.entry(caller, Action.CANCEL_TRANSFORM, subject("transform", transform_id))
                try:
                    after = self.store.update(transform, after, self.now(), entry)
                except StaleTransform:
                    continue
            self.jobs.stop(transform.resource)
            return after

    def document(self, transform: Transform) -> dict[str, Any]:
        return views.document(transform, self.objects.uri(transform.output_prefix))

    def _id(self, caller: Caller, key: str | None) -> str:
        if key is None:
            return self.new_id()
        if not 0 < len(key) <= MAX_KEY:
            cure = f"Use 1 to {MAX_KEY} characters."
            raise InvalidRequest.about(FieldProblem("Idempotency-Key", f"has {len(key)} characters", cure))
        return derived_id("transform", caller.tenant, caller.user, key)

    def _check_input(self, key: str) -> None:
        found = self.objects.below(key, at_most=MAX_OBJECTS)
        if not found.objects:
            cure = "Upload the files first: POST /api/v1/uploads."
            raise RefusedValue.about(FieldProblem("input", "names no files", cure))
        if found.objects > MAX_OBJECTS:
            cure = f"Use at most {MAX_OBJECTS:,} files at a time."
            raise RefusedValue.about(FieldProblem("input", "names too many files", cure))

    def _record(self, caller: Caller, transform: Transform, model: Model) -> None:
        """
        Raises:
            StaleTransform: somebody else changed the model meanwhile, or the id is taken.
        """
        # Nobody is to deprecate a model that is about to be asked.
        claim = self.models.change(model, model.asked_by(transform.transform_id), transform.created_at)
        entry = self.audit.entry(
            caller,
            Action.START_TRANSFORM,
            subject("transform", transform.transform_id),
            model=transform.model_id,
            instances=f"{transform.instance_count} {transform.instance_type}",
        )
        self.store.create(transform, claim, entry)

    def _driven(self, transform: Transform) -> Transform:
        if transform.status.is_open:
            self.machine.start(*execution(transform))
        return transform

    def _there(self, caller: Caller, transform_id: str) -> Transform:
        transform = self.store.get(caller.tenant, transform_id)
        if transform is None:
            raise NotFound("transform")
        return transform


def execution(transform: Transform) -> tuple[str, dict[str, Any]]:
    """Name and input of the execution that drives a transform."""
    return transform.transform_id, {"tenant": transform.tenant, "transform_id": transform.transform_id}
