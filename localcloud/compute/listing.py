"""The filters and the order that SageMaker's list operations share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Document = dict[str, Any]

_SORT_KEYS = {"Name": "name", "CreationTime": "created", "Status": "status"}


def select(documents: Iterable[Document], params: Mapping[str, Any]) -> list[Document]:
    """The documents that a request's filters let through, in its order (newest first unless it says otherwise).

    Args:
        documents: each with `name`, `created`, `modified` and, where the kind has one, `status`.
        params: the request's members.
    """
    key = _SORT_KEYS[params.get("SortBy", "CreationTime")]
    descending = params.get("SortOrder", "Descending") == "Descending"
    chosen = (document for document in documents if _matches(document, params))
    return sorted(chosen, key=lambda document: document[key], reverse=descending)


def _matches(document: Document, params: Mapping[str, Any]) -> bool:
    created, modified, status = document["created"], document["modified"], document.get("status")
    return (
        params.get("NameContains", "").lower() in document["name"].lower()
        and params.get("StatusEquals", status) == status
        and params.get("CreationTimeAfter", created) <= created <= params.get("CreationTimeBefore", created)
        and params.get("LastModifiedTimeAfter", modified) <= modified <= params.get("LastModifiedTimeBefore", modified)
    )
