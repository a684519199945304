"""API keys as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

KeyStatus = Literal["active", "expired", "revoked"]


@dataclass(frozen=True)
class ApiKey:
    """What the service tells of a key. The key itself it tells once, to whoever makes it: see ``NewApiKey``.

    Attributes:
        scopes: the permissions that it has, by name.
        last_used_at: to the minute; None when it was never used.
    """

    key_id: str
    name: str
    user_id: str
    scopes: tuple[str, ...]
    status: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ApiKey:
        return cls(
            key_id=document["key_id"],
            name=document.get("name", ""),
            user_id=document.get("user_id", ""),
            scopes=tuple(document.get("scopes") or ()),
            status=document.get("status", ""),
            created_at=document.get("created_at", ""),
            expires_at=document.get("expires_at", ""),
            revoked_at=document.get("revoked_at"),
            last_used_at=document.get("last_used_at"),
            document=document,
        )


@dataclass(frozen=True)
class NewApiKey:
    """A key that was just made, and the text to be sent as ``X-API-Key``: nobody can be asked for it again."""

    key: ApiKey
    text: str = field(repr=False)
