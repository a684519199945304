"""Transforms in DynamoDB, in the table of deployments: value in, value out.

pk                         sk           what
<tenant>#<transform_id>    transform    a transform

Lists read `by-tenant` and `by-model` under keys of their own, newest first; `by-live` has those of all tenants that have not
ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from chalicelib.clock import from_text, is_id, to_text
from chalicelib.cursor import Cursor, pages
from chalicelib.table import ConditionFailed, Item, Table, Write
from chalicelib.transforms.transform import Settings, Transform, TransformStatus

SK = "transform"
_OPEN = "transform"
_LISTED = ("pk", "sk", "listed_at")
_PAGE = 100
_UNCHANGED = "#record_version = :read_version"
_NAMES = {"#record_version": "record_version"}
_PLAIN = (
    *("tenant", "transform_id", "user", "model_id", "model_name", "model_version", "source"),
    *("instance_type", "instance_count", "record_version", "failure_reason"),
)


class StaleTransform(Exception):
    """Somebody else changed one of the records since it was read: read again and decide anew."""


@dataclass(frozen=True)
class TransformPage:
    transforms: tuple[Transform, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class TransformStore:
    table: Table

    def get(self, tenant: str, transform_id: str) -> Transform | None:
        item = self.table.get(f"{tenant}#{transform_id}", SK) if is_id(transform_id) else None
        return transform_from(item) if item else None

    def create(self, transform: Transform, *also: Write) -> None:
        """
        Args:
            also: writes that happen in the same transaction, or not at all.

        Raises:
            StaleTransform: the id is taken, or one of the other writes failed.
        """
        self._transact(self.table.put_if_absent(transform_item(transform)), *also)

    def update(self, before: Transform, after: Transform, now: datetime, *also: Write) -> Transform:
        """Replace the record, with the next version, if it is still as `before` was read.

        Raises:
            StaleTransform: it is not, or one of the other writes failed.
        """
        after = replace(after, record_version=before.record_version + 1, updated_at=now)
        values = {":read_version": before.record_version}
        self._transact(self.table.put(transform_item(after), condition=_UNCHANGED, values=values, names=_NAMES), *also)
        return after

    def search(self, tenant: str, model_id: str | None, limit: int, offset: int, after: Cursor | None) -> TransformPage:
        """Newest first."""
        index, key, value = _list(tenant, model_id)
        page = self.table.query((key, value), index=index, after=after, limit=limit, offset=offset, newest_first=True)
        return TransformPage(tuple(map(transform_from, page.items)), page.cursor)

    def open(self) -> Iterator[Transform]:
        """All tenants' transforms that have not ended. The index lags behind the records a little."""
        for page in pages(
            lambda after: self.table.query(("live_key", _OPEN), index="by-live", after=after, limit=_PAGE)
        ):
            yield from map(transform_from, page.items)

    @staticmethod
    def cursor(text: str | None, tenant: str, model_id: str | None) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, key, value = _list(tenant, model_id)
        return Cursor.of_list(text, _LISTED, {key: value})

    def _transact(self, *writes: Write) -> None:
        try:
            self.table.transact(*writes)
        except ConditionFailed:
            raise StaleTransform from None


def _list(tenant: str, model_id: str | None) -> tuple[str, str, str]:
    """Index, its key's name, and the key's value."""
    if model_id is None:
        return "by-tenant", "tenant_key", f"{tenant}#transforms"
    return "by-model", "model_key", f"{tenant}#transforms#{model_id}"


def transform_item(transform: Transform) -> Item:
    tenant, identity = transform.tenant, transform.transform_id
    times = {name: getattr(transform, name) for name in ("started_at", "ended_at")}
    return {
        "pk": f"{tenant}#{identity}",
        "sk": SK,
        **{name: getattr(transform, name) for name in _PLAIN},
        **{f"setting_{name}": value for name, value in vars(transform.settings).items()},
        "usd_per_hour": str(transform.usd_per_hour),
        "cost_usd": str(transform.cost_usd) if transform.cost_usd is not None else None,
        "created_at": to_text(transform.created_at),
        "updated_at": to_text(transform.updated_at),
        **{name: to_text(value) if value else None for name, value in times.items()},
        "status": transform.status.value,
        "tenant_key": f"{tenant}#transforms",
        "model_key": f"{tenant}#transforms#{transform.model_id}",
        "live_key": _OPEN if transform.status.is_open else None,
        "listed_at": f"{to_text(transform.created_at)}#{identity}",
    }


def transform_from(item: Mapping[str, Any]) -> Transform:
    plain: dict[str, Any] = {name: item.get(name) for name in _PLAIN}
    times: dict[str, Any] = {
        name: from_text(text) if (text := item.get(name)) else None for name in ("started_at", "ended_at")
    }
    cost = item.get("cost_usd")
    return Transform(
        **plain,
        **times,
        settings=Settings(**{name: item[f"setting_{name}"] for name in Settings.__dataclass_fields__}),
        usd_per_hour=Decimal(item["usd_per_hour"]),
        cost_usd=Decimal(cost) if cost is not None else None,
        created_at=from_text(item["created_at"]),
        updated_at=from_text(item["updated_at"]),
        status=TransformStatus(item["status"]),
    )
