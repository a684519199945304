"""API keys in DynamoDB: value in, value out, and every condition under its name.

    pk              sk      what
    key#<key_id>    key     the key

Who presents a key says no tenant, so the id alone finds the record. Lists read the indexes `by-tenant` and `by-owner`,
newest first. A record goes a while after its key has expired or was revoked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chalicelib.api_keys.key import ApiKey
from chalicelib.clock import from_text, to_text
from chalicelib.cursor import Cursor
from chalicelib.table import ConditionFailed, Item, Table, Write

KEPT_AFTERWARDS = timedelta(days=30)
USE_NOTED_EVERY = timedelta(minutes=1)

_LISTED = ("pk", "sk", "listed_at")
_INDEX = {False: ("by-tenant", "tenant_key"), True: ("by-owner", "owner_key")}
# A record that is gone must not come back as a stump.
_THERE = "attribute_exists(pk)"
_NOT_REVOKED = "attribute_not_exists(revoked_at)"
_NOT_NOTED_LATELY = "(attribute_not_exists(last_used_at) OR last_used_at < :lately)"


@dataclass(frozen=True)
class KeyPage:
    keys: tuple[ApiKey, ...]
    cursor: Cursor | None


@dataclass(frozen=True)
class KeyStore:
    table: Table

    def get(self, key_id: str) -> ApiKey | None:
        item = self.table.get(_pk(key_id), "key")
        return _key(item) if item else None

    def create(self, key: ApiKey, *also: Write) -> None:
        """
        Args:
            also: writes that happen in the same transaction, or not at all.
        """
        self.table.transact(self.table.put_if_absent(_item(key)), *also)

    def revoke(self, key: ApiKey, now: datetime, *also: Write) -> bool:
        """Revoke a key; False when it was revoked already, or is gone."""
        write = self.table.change(
            _pk(key.key_id),
            "key",
            {"revoked_at": to_text(now), "expires_at": _gone_at(now)},
            condition=f"{_THERE} AND {_NOT_REVOKED}",
        )
        try:
            self.table.transact(write, *also)
        except ConditionFailed:
            return False
        return True

    def note_use(self, key_id: str, now: datetime) -> None:
        """Remember when a key was last used, at most once a minute."""
        write = self.table.change(
            _pk(key_id),
            "key",
            {"last_used_at": to_text(now)},
            condition=f"{_THERE} AND {_NOT_NOTED_LATELY}",
            values={":lately": to_text(now - USE_NOTED_EVERY)},
        )
        try:
            self.table.write(write)
        except ConditionFailed:
            # Another request with this key has noted it at the same moment.
            return

    def search(self, tenant: str, user: str | None, limit: int, offset: int, after: Cursor | None) -> KeyPage:
        """A tenant's keys, or one user's."""
        index, name = _INDEX[user is not None]
        page = self.table.query(
            (name, _partition(tenant, user)), index=index, after=after, limit=limit, offset=offset, newest_first=True
        )
        return KeyPage(tuple(_key(item) for item in page.items), page.cursor)

    @staticmethod
    def cursor(text: str | None, tenant: str, user: str | None) -> Cursor | None:
        """Read a list's cursor; its keys are those of the list that is asked for now, so it can't lead elsewhere."""
        _, name = _INDEX[user is not None]
        return Cursor.of_list(text, _LISTED, {name: _partition(tenant, user)})


def _pk(key_id: str) -> str:
    return f"key#{key_id}"


def _partition(tenant: str, user: str | None) -> str:
    return tenant if user is None else f"{tenant}#{user}"


def _gone_at(moment: datetime) -> int:
    return int((moment + KEPT_AFTERWARDS).timestamp())


def _item(key: ApiKey) -> Item:
    return {
        "pk": _pk(key.key_id),
        "sk": "key",
        "tenant": key.tenant,
        "key_id": key.key_id,
        "user": key.user,
        "name": key.name,
        "scopes": list(key.scopes),
        "digest": key.digest,
        "created_at": to_text(key.created_at),
        "valid_until": to_text(key.expires_at),
        # When DynamoDB takes the record away, not when the key ends.
        "expires_at": _gone_at(key.expires_at),
        # What the indexes are keyed by.
        "tenant_key": _partition(key.tenant, None),
        "owner_key": _partition(key.tenant, key.user),
        "listed_at": f"{to_text(key.created_at)}#{key.key_id}",
    }


def _key(item: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        tenant=item["tenant"],
        key_id=item["key_id"],
        user=item["user"],
        name=item["name"],
        scopes=tuple(item["scopes"]),
        digest=item["digest"],
        created_at=from_text(item["created_at"]),
        expires_at=from_text(item["valid_until"]),
        revoked_at=_moment(item, "revoked_at"),
        last_used_at=_moment(item, "last_used_at"),
    )


def _moment(item: Mapping[str, Any], name: str) -> datetime | None:
    text = item.get(name)
    return from_text(text) if text else None
