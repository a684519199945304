"""The event that tells of every change of a job, as SageMaker puts it on the default bus."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from localcloud.compute.jobs.sagemaker_record import JobRecord

SOURCE = "aws.sagemaker"
# An event holds at most 256 KB; these two can be long, and whoever needs them asks for the description.
_LONG_MEMBERS = ("HyperParameters", "Environment")
_LONG = 64 * 1024


def detail_type(record: JobRecord) -> str:
    return f"SageMaker {record.word} Job State Change"


def detail_of(record: JobRecord) -> dict[str, Any]:
    """The description with times in milliseconds, and the tags."""
    shown = record.describe()
    for member in _LONG_MEMBERS:
        if len(str(shown.get(member, ""))) > _LONG:
            del shown[member]
    detail: dict[str, Any] = _with_milliseconds(shown)
    return {**detail, "Tags": record.document["tags"]}


def _with_milliseconds(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, dict):
        return {key: _with_milliseconds(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_milliseconds(part) for part in value]
    return value
