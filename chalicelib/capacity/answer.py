"""What is answered to whoever asks why a job waits: the same for every queue. Frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from chalicelib.identity.caller import Caller
from chalicelib.identity.permissions import Permission
from chalicelib.jobs.job import Job

HOLDERS = 20
"""How many of those who hold a limit are named."""


@dataclass(frozen=True)
class BindingLimit:
    """What a job waits for: it needs `needed` of a `limit` of which `in_use` are taken."""

    pool: str
    unit: str
    limit: int | None
    in_use: int
    needed: int


@dataclass(frozen=True)
class Holder:
    """A job that holds some of the limit."""

    job_id: str
    user: str
    amount: int
    expected_end: datetime


@dataclass(frozen=True)
class Line:
    """
    Attributes:
        jobs_ahead: who would go before if nobody else came; at least so many unless `is_exact`.
        expected_start: None when it is not known.
        basis: what the expected start rests on, or why there is none.
    """

    jobs_ahead: int
    is_exact: bool
    expected_start: datetime | None
    basis: str


@dataclass(frozen=True)
class QueueAnswer:
    """
    Attributes:
        state: `waiting`, `admitted`, `running` or `finished`.
        holders: those that the caller may see; `held_by_others` is what the rest holds together.
        level: the class of priority that it has now, and when it rises to the next.
    """

    job: Job
    state: str
    reason: str
    binding: BindingLimit | None = None
    holders: tuple[Holder, ...] = ()
    held_by_others: int = 0
    level: str | None = None
    rises_at: datetime | None = None
    line: Line | None = None


def may_see(caller: Caller, tenant: str, user: str) -> bool:
    """Whether somebody's job is named to a caller, or only counted."""
    return tenant == caller.tenant and (user == caller.user or caller.may(Permission.JOBS_READ_ALL))
