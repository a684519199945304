"""What a sweep found and did: frozen values, no I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from chalicelib.clock import to_text
from chalicelib.reconciler.gateways import Driving, Execution

GRACE = timedelta(minutes=1)
"""What is younger is left alone: the one who makes it is still at it."""


class Kind(Enum):
    """What was wrong, by what was done about it."""

    STARTED = "started"
    """Nobody had started its execution: the call was lost."""
    FINISHED = "finished"
    """The execution had ended, and the job or the deployment had not."""
    STOPPING = "stopping"
    """The same, and its attempt or its endpoint has to settle first: the next sweep finishes it."""
    SEALED = "sealed"
    """A job had been ended by a sweep, or for an execution, that did not come to its receipt."""
    STOPPED_AGAIN = "stopped-again"
    """The job is being cancelled and its attempt ran on."""
    STOPPED_LATE = "stopped-late"
    """A spot job on Batch had its `max_wait_seconds`: Batch has no such limit."""
    STOPPED_OLDER = "stopped-older"
    """An earlier attempt ran beside the one that counts."""
    STOPPED_ORPHAN = "stopped-orphan"
    """It ran for no job, or for one that has ended."""
    LOST = "lost"
    """A deployment's endpoint had gone behind its back: it failed."""
    WENT_BACK = "went-back"
    """A deployment's endpoint had been changed behind its back, to something else than is recorded."""
    WOKEN = "woken"
    """Nobody would have gone on with a run of retraining: it is looked at again."""
    DELETED_ORPHAN = "deleted-orphan"
    """An endpoint stood for no deployment, or for one that has ended."""


@dataclass(frozen=True)
class Repair:
    """
    Attributes:
        subject: `job/<id>`, `deployment/<id>`, `transform/<id>` or `retraining-run/<policy>/<number>`.
        orphan_seconds: for how long something ran that nobody owned.
    """

    kind: Kind
    tenant: str
    subject: str
    detail: str
    orphan_seconds: int = 0


@dataclass(frozen=True)
class Report:
    """One sweep.

    Attributes:
        open_jobs, running, deployments, endpoints: how many records, and things on the backends, were looked at.
        unanswered: at how many of them it could not look, because AWS did not answer; the next sweep looks again.
        after: the tenant up to which it came, when its time was up before all were done; the next sweep goes on there.
    """

    began_at: datetime
    ended_at: datetime
    tenants: int
    open_jobs: int
    running: int
    deployments: int = 0
    endpoints: int = 0
    repairs: tuple[Repair, ...] = ()
    unanswered: int = 0
    after: str | None = None

    @property
    def orphan_seconds(self) -> int:
        return sum(repair.orphan_seconds for repair in self.repairs)

    def to_dict(self) -> dict[str, Any]:
        by_kind = Counter(repair.kind.value for repair in self.repairs)
        return {
            "began_at": to_text(self.began_at),
            "ended_at": to_text(self.ended_at),
            "complete": self.after is None and not self.unanswered,
            "tenants": self.tenants,
            "open_jobs": self.open_jobs,
            "running": self.running,
            "deployments": self.deployments,
            "endpoints": self.endpoints,
            "unanswered": self.unanswered,
            "orphan_seconds": self.orphan_seconds,
            "repairs_by_kind": dict(sorted(by_kind.items())),
            "repairs": [
                {
                    "kind": repair.kind.value,
                    "tenant": repair.tenant,
                    "subject": repair.subject,
                    "detail": repair.detail,
                    "orphan_seconds": repair.orphan_seconds,
                }
                for repair in self.repairs
            ],
        }


NO_SWEEP: dict[str, Any] = {
    "began_at": None,
    "ended_at": None,
    "complete": False,
    "tenants": 0,
    "open_jobs": 0,
    "running": 0,
    "deployments": 0,
    "endpoints": 0,
    "unanswered": 0,
    "orphan_seconds": 0,
    "repairs_by_kind": {},
    "repairs": [],
}
"""The report of an installation that was never swept."""


def why(execution: Execution) -> str:
    """The sentence for what an execution was to end and did not."""
    match execution.driving:
        case Driving.ABORTED:
            said = "The state machine's execution was aborted"
        case Driving.TIMED_OUT:
            said = "The state machine's execution timed out"
        case Driving.SUCCEEDED:
            said = "The state machine's execution ended without its work"
        case Driving.ABSENT:
            said = "The state machine was deleted"
        case _:
            said = "The state machine's execution failed"
    return f"{said}: {execution.reason}" if execution.reason else f"{said}."
