"""The calls about API keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.api_keys import ApiKey, NewApiKey
from aimatrix.client.paging import each_document
from aimatrix.client.transport import Transport

API_KEYS = "/api-keys"


@dataclass(frozen=True)
class ApiKeyCalls:
    """``client.api_keys``."""

    transport: Transport

    def create(self, name: str, scopes: Sequence[str], *, expires_in_days: int | None = None) -> NewApiKey:
        """Makes a key that acts as the caller, within these permissions.

        Sent at most once: of a lost answer nobody has the key. Revoke what such a try may have left.
        """
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in_days is not None:
            body["expires_in_days"] = expires_in_days
        document = self.transport.document("POST", API_KEYS, body=body)
        text = document.pop("key")
        return NewApiKey(ApiKey.from_document(document), text)

    def list(self, *, user_id: str | None = None, page_size: int = 50) -> Iterator[ApiKey]:
        """The keys the caller may see, latest first, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            params = {"user_id": user_id, "limit": page_size, "cursor": cursor}
            return self.transport.document("GET", API_KEYS, params=params)

        return (ApiKey.from_document(each) for each in each_document(fetch, "api_keys"))

    def get(self, key_id: str) -> ApiKey:
        return ApiKey.from_document(self.transport.document("GET", _path(key_id)))

    def revoke(self, key_id: str) -> None:
        """Ends a key, from the next request on."""
        self.transport.call("DELETE", _path(key_id))


def _path(key_id: str) -> str:
    return f"{API_KEYS}/{quote(key_id, safe='')}"
