"""ListTrainingJobs: filters and order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.compute.training.record import TrainingRecord

_SORT_KEYS = {"Name": "name", "CreationTime": "created", "Status": "status"}


def select(records: Iterable[TrainingRecord], params: Mapping[str, Any]) -> list[TrainingRecord]:
    """The records that the request's filters let through, in its order (newest first unless it says otherwise)."""
    chosen = [record for record in records if _matches(record, params)]
    key = _SORT_KEYS[params.get("SortBy", "CreationTime")]
    chosen.sort(key=lambda record: record.document[key], reverse=params.get("SortOrder", "Descending") == "Descending")
    return chosen


def _matches(record: TrainingRecord, params: Mapping[str, Any]) -> bool:
    created, modified = record.document["created"], record.document["modified"]
    return (
        params.get("NameContains", "").lower() in record.name.lower()
        and params.get("StatusEquals", record.status) == record.status
        and params.get("CreationTimeAfter", created) <= created <= params.get("CreationTimeBefore", created)
        and params.get("LastModifiedTimeAfter", modified) <= modified <= params.get("LastModifiedTimeBefore", modified)
    )
