"""The ledger of a job, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class JobChange:
    """One version of a job's record.

    Attributes:
        kind: the event that made it, such as ``Started``.
        details: what the event says.
    """

    version: int
    at: str
    kind: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class History:
    """Every change of a record, and whether they add up to it.

    Attributes:
        is_equal: the replay gives the record, field for field.
        behind: versions that have not come into the ledger yet.
        missing: versions that should be there and are not.
        differences: the fields in which the replay is not as recorded.
    """

    job_id: str
    version: int
    changes: tuple[JobChange, ...]
    is_equal: bool
    behind: int
    missing: tuple[int, ...]
    differences: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> History:
        replay = document["replay"]
        return cls(
            job_id=document["job_id"],
            version=document["version"],
            changes=tuple(_change(each) for each in document["changes"]),
            is_equal=replay["equal"],
            behind=replay["behind"],
            missing=tuple(replay["missing"]),
            differences=tuple(replay["differences"]),
            document=document,
        )


def _change(document: Mapping[str, Any]) -> JobChange:
    event = dict(document["event"])
    return JobChange(document["version"], document["at"], event.pop("kind"), event)
