"""When a model is trained anew, with what, and what becomes of the result: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from chalicelib.auto_deployment.policy import Policy
from chalicelib.retraining.upload import Upload


class Concurrency(Enum):
    """What becomes of a run that is due while the job of the one before has not ended."""

    QUEUE = "queue"
    """It waits, and goes on gathering."""
    SKIP = "skip"
    """It is left out."""
    REPLACE = "replace"
    """The job of the one before is cancelled."""


class SchemaCheck(Enum):
    """What becomes of new data whose columns, types or ranges are not those of the last run."""

    REFUSE = "refuse"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True)
class Source:
    """What starts a run.

    Attributes:
        prefix: of the keys of the data in the artifacts bucket, with a slash at the end.
        pattern: of what is behind the prefix, as a shell has it: `*.csv`.
        marker: name of an object that says that a set is complete; a run is due when it comes, and not before.
        is_watched: uploads start runs; otherwise a person does.
    """

    prefix: str
    pattern: str = "*"
    marker: str | None = None
    is_watched: bool = False

    def is_marker(self, key: str) -> bool:
        return self.marker is not None and key.rpartition("/")[2] == self.marker

    def completes(self, upload: Upload) -> bool:
        return self.is_marker(upload.key) and not upload.is_deletion

    def covers(self, key: str) -> bool:
        """Whether an object is data of this source, or its marker."""
        if not self.is_watched or not key.startswith(self.prefix) or key.endswith("/"):
            return False
        return self.is_marker(key) or fnmatchcase(key.removeprefix(self.prefix), self.pattern)


@dataclass(frozen=True)
class RetrainingPolicy:
    """`record_version` grows by one with every change of the record.

    Attributes:
        user: who set it; jobs are submitted for this user, under this user's quota.
        debounce_seconds: a run is due when nothing has come for so long.
        longest_seconds: a run is due so long after its first object, whatever comes.
        min_objects, min_bytes: less than this starts no run: it waits for more.
        job: a training job request without its dataset.
        deployment: when and how the model is deployed; None: it is registered, and that is all.
        budget_usd: of all its jobs that end in a calendar month (UTC); None: no limit of its own.
    """

    tenant: str
    policy_id: str
    user: str
    name: str
    source: Source
    job: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    enabled: bool = True
    debounce_seconds: int = 60
    longest_seconds: int = 3600
    min_objects: int = 1
    min_bytes: int = 0
    concurrency: Concurrency = Concurrency.QUEUE
    schema_check: SchemaCheck = SchemaCheck.WARN
    budget_usd: Decimal | None = None
    deployment: Policy | None = None
    record_version: int = 1

    def enough(self, objects: int, size: int) -> bool:
        return objects >= self.min_objects and size >= self.min_bytes

    def set_anew(self, other: RetrainingPolicy, now: datetime) -> RetrainingPolicy:
        """As another one says, which is this one from now on."""
        return replace(
            other,
            policy_id=self.policy_id,
            created_at=self.created_at,
            updated_at=now,
            record_version=self.record_version + 1,
        )
