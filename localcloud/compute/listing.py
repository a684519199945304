"""The filters, the order and the pages that SageMaker's list operations share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from localcloud.compute.operations import Document
from localcloud.compute.paging import page_of

PAGE = 10
_SORT_KEYS = {"Name": "name", "CreationTime": "created", "Status": "status"}


def page(documents: Iterable[Document], params: Mapping[str, Any]) -> tuple[Sequence[Document], str | None]:
    """The documents that a list request asks for, and the token of the next page, None at the end.

    Args:
        documents: each with `name`, `created`, `modified` and, where the kind has one, `status`.
        params: the request's members; without `SortBy` and `SortOrder`, the newest come first.

    Raises:
        ValidationFailed: the page token is none of ours.
    """
    key = _SORT_KEYS[params.get("SortBy", "CreationTime")]
    descending = params.get("SortOrder", "Descending") == "Descending"
    chosen = (document for document in documents if _matches(document, params))
    ordered = sorted(chosen, key=lambda document: document[key], reverse=descending)
    return page_of(ordered, params.get("NextToken"), params.get("MaxResults", PAGE))


def _matches(document: Document, params: Mapping[str, Any]) -> bool:
    created, modified, status = document["created"], document["modified"], document.get("status")
    return (
        params.get("NameContains", "").lower() in document["name"].lower()
        and params.get("StatusEquals", status) == status
        and params.get("CreationTimeAfter", created) <= created <= params.get("CreationTimeBefore", created)
        and params.get("LastModifiedTimeAfter", modified) <= modified <= params.get("LastModifiedTimeBefore", modified)
    )
