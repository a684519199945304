"""An attempt in the operator's queue: submitted once, and its machine waits with a task token until it has ended.

    machine: enqueue with token ─→ note the token ─→ submit, unless it is there ─→ look ─→ ended already? answer
    Batch: the service job changed ─→ event ─→ look ─→ ended, and a token noted? answer

Whichever comes second sees what the first one wrote, so one of them answers; a second answer comes to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.jobs.gateways import BackendState
from chalicelib.jobs.store import JobStore
from chalicelib.jobs.training_queue import QueuedBackend


class Waiters(Protocol):
    """State machines that wait with a task token."""

    def succeed(self, token: str) -> None: ...


@dataclass(frozen=True)
class Enqueueing:
    store: JobStore
    queue: QueuedBackend
    waiters: Callable[[], Waiters]

    def enqueue(self, tenant: str, job_id: str, number: int, request: Mapping[str, Any] | None, token: str) -> bool:
        """Submit an attempt; True when it has ended already, and its machine was answered.

        Args:
            request: arguments of SubmitServiceJob; None from a machine that starts again over an attempt that is there.
        """
        attempt = self.store.attempt(tenant, job_id, number)
        if attempt is None:
            raise LookupError(f"there is no attempt {number} of job {job_id}")
        self.store.put_attempt_token(attempt, token)
        job = self.store.require(tenant, job_id)
        if self.queue.find(attempt) is None:
            if request is None or job.cancel_requested_at is not None or job.status.is_finished:
                self.waiters().succeed(token)
                return True
            self.queue.submit(request)
            current = self.store.require(tenant, job_id)
            if current.cancel_requested_at is not None:
                # The cancel came between the plan and the submission: what it could not stop then is stopped now.
                self.queue.stop(attempt, "cancelled by the user")
        return self.answer(tenant, job_id, number)

    def answer(self, tenant: str, job_id: str, number: int) -> bool:
        """Let the machine go on if its attempt has ended; True when it was answered."""
        attempt = self.store.attempt(tenant, job_id, number)
        token = self.store.attempt_token(tenant, job_id, number) if attempt else None
        if attempt is None or token is None:
            return False
        if self.queue.describe(attempt).state in {BackendState.STARTING, BackendState.RUNNING}:
            return False
        self.waiters().succeed(token)
        return True
