"""An API key as a document. Nothing here knows its secret or its hash."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from chalicelib.api_keys.key import ApiKey, NewKey
from chalicelib.clock import to_text


def document(key: ApiKey, now: datetime) -> dict[str, Any]:
    """ApiKey."""
    shown = {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "user_id": key.user,
        "scopes": list(key.scopes),
        "status": key.status(now).value,
        "created_at": to_text(key.created_at),
        "expires_at": to_text(key.expires_at),
        "revoked_at": to_text(key.revoked_at) if key.revoked_at else None,
        "last_used_at": to_text(key.last_used_at) if key.last_used_at else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def created(new: NewKey, now: datetime) -> dict[str, Any]:
    """ApiKeyResponse: the one answer that holds the key itself."""
    return {**document(new.key, now), "key": new.text}
