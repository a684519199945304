"""Model records in DynamoDB: value in, value out, and every condition under its name.

    pk                       sk                     what
    <tenant>#<model_id>      model                  the model
    <tenant>#<model_id>      approval#...           what users say of it: chalicelib/environments/store.py
    <tenant>#name#<name>     version#<version>      which model has this version
    <tenant>#name#<name>     counter                the next whole number that nobody has taken as a version

Lists read the indexes `by-tenant`, `by-tenant-status`, `by-tenant-framework` and `by-tenant-framework-status`, newest
first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.clock import from_text, is_id, to_text
from chalicelib.cursor import Cursor
from chalicelib.models.model import Archive, AutoDeployment, MlflowLink, Model, ModelFilter, ModelStatus, Use
from chalicelib.table import ConditionFailed, Item, Table, Write, as_json

# A version counts as a number up to this many digits: a date (20250131) does, a hash by chance all digits does not.
_MAX_NUMBER_DIGITS = 9

_LISTED = ("pk", "sk", "listed_at")
_INDEX = {
    (False, False): ("by-tenant", "tenant_key"),
    (False, True): ("by-tenant-status", "tenant_status_key"),
    (True, False): ("by-tenant-framework", "tenant_framework_key"),
    (True, True): ("by-tenant-framework-status", "tenant_framework_status_key"),
}
_UNCHANGED = "#record_version = :read_version"
_NAMES = {"#record_version": "record_version"}


class StaleModel(Exception):
    """Somebody else changed the record since it was read: read it again and decide anew."""


class VersionTaken(Exception):
    """The name has this version already."""


@dataclass(frozen=True)
class ModelPage:
    models: tuple[Model, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class ModelStore:
    table: Table

    def get(self, tenant: str, model_id: str) -> Model | None:
        item = self.table.get(_pk(tenant, model_id), "model") if is_id(model_id) else None
        return model_from(item) if item else None

    def has_version(self, tenant: str, name: str, version: str) -> bool:
        return self.table.get(_name_pk(tenant, name), f"version#{version}") is not None

    def create(self, model: Model, *also: Write) -> Model:
        """Record a model under its version, or under the next free number when its version is empty.

        A model that is recorded already stays as it is, and is what comes back.

        Args:
            also: writes that happen in the same transaction, or not at all.

        Raises:
            VersionTaken: another model has this name and version.
        """
        while True:
            if existing := self.get(model.tenant, model.model_id):
                return existing
            following = self._next_number(model.tenant, model.name)
            numbered = model if model.version else replace(model, version=str(following))
            try:
                self.table.transact(*self._creation(numbered, following), *also)
            except ConditionFailed as failure:
                # Two registrations of one name at the same moment, both having read "next is 4":
                #   A: put model A + put version 4 if absent + counter 4 → 5 ── succeeds
                #   B: put model B + put version 4 if absent + counter 4 → 5 ── fails as a whole, reads 5 and tries again
                if failure.failed(1) and model.version and not self.get(model.tenant, model.model_id):
                    raise VersionTaken(model.version) from None
            else:
                return numbered

    def change(self, before: Model, after: Model, now: datetime) -> Write:
        """Replace the record, with the next version, if it is still as `before` was read."""
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        return self.table.put(
            model_item(after), condition=_UNCHANGED, values={":read_version": before.record_version}, names=_NAMES
        )

    def update(self, before: Model, after: Model, now: datetime, *also: Write) -> Model:
        """
        Args:
            also: writes that happen in the same transaction, or not at all.

        Raises:
            StaleModel: the record is not as `before` was read.
        """
        write = self.change(before, after, now)
        try:
            if also:
                self.table.transact(write, *also)
            else:
                self.table.write(write)
        except ConditionFailed:
            raise StaleModel(before.model_id) from None
        return replace(after, record_version=before.record_version + 1, updated_at=now)

    def delete(self, model: Model, *also: Write) -> None:
        """Delete the record, and what lies beside it. Its version stays taken: no other model will ever be called so.

        Raises:
            StaleModel: the record is not as it was read.
        """
        values = {":read_version": model.record_version}
        pk = _pk(model.tenant, model.model_id)
        self.table.delete_all([(pk, item["sk"]) for item in self.table.all_of(pk) if item["sk"] != "model"])
        try:
            self.table.transact(
                self.table.delete(pk, "model", condition=_UNCHANGED, values=values, names=_NAMES), *also
            )
        except ConditionFailed:
            raise StaleModel(model.model_id) from None

    def search(self, tenant: str, wanted: ModelFilter, limit: int, offset: int, after: Cursor | None) -> ModelPage:
        index, key = _INDEX[wanted.framework is not None, wanted.status is not None]
        value = _partition(tenant, wanted)
        page = self.table.query((key, value), index=index, after=after, limit=limit, offset=offset, newest_first=True)
        return ModelPage(tuple(model_from(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, wanted: ModelFilter) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, key = _INDEX[wanted.framework is not None, wanted.status is not None]
        return Cursor.of_list(text, _LISTED, {key: _partition(tenant, wanted)})

    def _next_number(self, tenant: str, name: str) -> int:
        item = self.table.get(_name_pk(tenant, name), "counter")
        return int(item["following"]) if item else 1

    def _creation(self, model: Model, following: int) -> tuple[Write, ...]:
        name_pk = _name_pk(model.tenant, model.name)
        entry = {"pk": name_pk, "sk": f"version#{model.version}", "tenant": model.tenant, "model_id": model.model_id}
        writes = (self.table.put_if_absent(model_item(model)), self.table.put_if_absent(entry))
        taken = _number(model.version)
        if taken is None or taken < following:
            return writes
        unmoved = "attribute_not_exists(pk) OR following = :following"
        counter = {"pk": name_pk, "sk": "counter", "following": taken + 1}
        return (*writes, self.table.put(counter, condition=unmoved, values={":following": following}))


def _pk(tenant: str, model_id: str) -> str:
    return f"{tenant}#{model_id}"


def _name_pk(tenant: str, name: str) -> str:
    return f"{tenant}#name#{name}"


def _number(version: str) -> int | None:
    return int(version) if version.isascii() and version.isdigit() and len(version) <= _MAX_NUMBER_DIGITS else None


def _partition(tenant: str, wanted: ModelFilter) -> str:
    parts = [tenant, wanted.framework, wanted.status.value if wanted.status else None]
    return "#".join(part for part in parts if part is not None)


def model_item(model: Model) -> Item:
    status = model.status.value
    return {
        "pk": _pk(model.tenant, model.model_id),
        "sk": "model",
        "tenant": model.tenant,
        "model_id": model.model_id,
        "user": model.user,
        "name": model.name,
        "version": model.version,
        "framework": model.framework,
        "archive": {
            "uri": model.archive.uri,
            "size_bytes": model.archive.size_bytes,
            "checksum": model.archive.checksum,
        },
        "created_at": to_text(model.created_at),
        "updated_at": to_text(model.updated_at),
        "kind": model.kind,
        "servable": model.servable,
        "servable_reason": model.servable_reason,
        "status": status,
        "record_version": model.record_version,
        "training_job_id": model.training_job_id,
        "description": model.description,
        "tags": list(model.tags),
        "metrics": as_json(dict(model.metrics)),
        "artifacts": as_json([dict(artifact) for artifact in model.artifacts]),
        "signature": as_json(model.signature) if model.signature is not None else None,
        "input_example": as_json(model.input_example) if model.input_example is not None else None,
        "mlflow": vars(model.mlflow) if model.mlflow else None,
        "deployment_config": as_json(model.deployment_config) if model.deployment_config is not None else None,
        "uses": {deployment_id: use.value for deployment_id, use in model.uses.items()},
        "auto_deployment": {**vars(auto), "at": to_text(auto.at)} if (auto := model.auto_deployment) else None,
        # What the indexes are keyed by.
        "tenant_key": model.tenant,
        "tenant_status_key": _partition(model.tenant, ModelFilter(status=model.status)),
        "tenant_framework_key": _partition(model.tenant, ModelFilter(framework=model.framework)),
        "tenant_framework_status_key": _partition(model.tenant, ModelFilter(model.framework, model.status)),
        "listed_at": f"{to_text(model.created_at)}#{model.model_id}",
    }


def model_from(item: Mapping[str, Any]) -> Model:
    archive, mlflow, auto = item["archive"], item.get("mlflow"), item.get("auto_deployment")
    return Model(
        tenant=item["tenant"],
        model_id=item["model_id"],
        user=item["user"],
        name=item["name"],
        version=item["version"],
        framework=item["framework"],
        archive=Archive(archive["uri"], archive["size_bytes"], archive.get("checksum")),
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        kind=item["kind"],
        servable=item["servable"],
        servable_reason=item.get("servable_reason"),
        status=ModelStatus(item["status"]),
        record_version=item["record_version"],
        training_job_id=item.get("training_job_id"),
        description=item.get("description"),
        tags=tuple(item["tags"]),
        metrics=json.loads(item["metrics"]),
        artifacts=tuple(json.loads(item["artifacts"])),
        signature=_json(item, "signature"),
        input_example=_json(item, "input_example"),
        mlflow=MlflowLink(mlflow["name"], mlflow["version"], mlflow.get("run_id"), mlflow["alias"]) if mlflow else None,
        deployment_config=_json(item, "deployment_config"),
        uses={deployment_id: Use(use) for deployment_id, use in item["uses"].items()},
        auto_deployment=AutoDeployment(**{**auto, "at": from_text(auto["at"])}) if auto else None,
    )


def _json(item: Mapping[str, Any], name: str) -> Any:
    text = item.get(name)
    return json.loads(text) if text is not None else None
