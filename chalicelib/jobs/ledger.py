"""The ledger of a job: every change of its record, as the table's stream told it, and what a replay makes of them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.jobs.job import Job
from chalicelib.jobs.life import Event, apply


@dataclass(frozen=True)
class Change:
    """One version of a record.

    Attributes:
        event: what made it.
        record: the job as it was recorded first; None for every version but the first.
    """

    version: int
    at: datetime
    event: Event
    record: Job | None = None


@dataclass(frozen=True)
class Replay:
    """What the ledger says against what the record says.

    Attributes:
        behind: versions of the record that have not come into the ledger yet; a moment later they will have.
        missing: versions that are not there although later ones are.
        differences: fields in which the replayed job is not as recorded; empty while the ledger is behind.
    """

    behind: int
    missing: tuple[int, ...]
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        return not (self.behind or self.missing or self.differences)


def replay(changes: Sequence[Change], recorded: Job) -> Replay:
    """Apply every change, in order of version, and compare field for field with what is recorded.

    Args:
        changes: in order of version.
    """
    known = [change.version for change in changes if change.version <= recorded.version]
    last = max(known, default=0)
    missing = tuple(sorted(set(range(1, last + 1)) - set(known)))
    if missing or last < recorded.version:
        return Replay(recorded.version - last, missing, ())
    first, *later = (change for change in changes if change.version <= recorded.version)
    job = first.record
    assert job is not None  # noqa: S101  the first version always has one
    for change in later:
        job = replace(apply(job, change.event), version=change.version, updated_at=change.at)
    return Replay(0, (), differing(job, recorded))


def differing(one: Job, other: Job) -> tuple[str, ...]:
    """The names of the fields that differ."""
    names = (each.name for each in dataclasses.fields(Job))
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))
