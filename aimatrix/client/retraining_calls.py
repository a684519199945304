"""The calls about retraining."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.paging import each_document
from aimatrix.client.retraining import RetrainingPolicy, RetrainingRun
from aimatrix.client.transport import Transport
from aimatrix.client.waiting import wait_until

POLICIES = "/retraining-policies"


@dataclass(frozen=True)
class RetrainingCalls:
    """``client.retraining``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic

    def create(self, policy: Mapping[str, Any]) -> RetrainingPolicy:
        """Has uploads below a prefix train the next version of a model.

        Sent at most once: if the answer is lost, look with ``list`` whether there is one.

        Args:
            policy: as docs/retraining.md has it.

        Raises:
            InvalidRequestError: what is wrong, by field.
            ForbiddenError: the caller may not submit jobs, or not deploy what ``on_success`` deploys.
            ConflictError: the tenant has as many policies as it may.
        """
        return RetrainingPolicy.from_document(self.transport.document("POST", POLICIES, body=dict(policy)))

    def list(self, *, page_size: int = 50) -> Iterator[RetrainingPolicy]:
        """The tenant's policies, fetched page by page while they are read."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document("GET", POLICIES, params={"limit": page_size, "cursor": cursor})

        return (RetrainingPolicy.from_document(each) for each in each_document(fetch, "retraining_policies"))

    def get(self, policy_id: str) -> RetrainingPolicy:
        return RetrainingPolicy.from_document(self.transport.document("GET", _one(policy_id)))

    def set(self, policy_id: str, policy: Mapping[str, Any]) -> RetrainingPolicy:
        """Replaces what a policy says; it and its jobs are the caller's from now on.

        Args:
            policy: all of it, as for ``create``; ``get(policy_id).settings()`` is what it says now.

        Raises:
            NotFoundError: not there, or somebody else's.
            InvalidRequestError: what is wrong, by field.
        """
        return RetrainingPolicy.from_document(self.transport.document("PUT", _one(policy_id), body=dict(policy)))

    def delete(self, policy_id: str) -> None:
        """No run follows. The job of one that trains goes on; its model is registered, not deployed."""
        self.transport.call("DELETE", _one(policy_id))

    def start(self, policy_id: str) -> RetrainingRun:
        """Trains now, with what lies below the prefix: a run that gathers is due at once.

        Raises:
            ConflictError: the policy is switched off.
        """
        return RetrainingRun.from_document(self.transport.document("POST", _runs(policy_id)))

    def runs(self, policy_id: str, *, page_size: int = 50) -> Iterator[RetrainingRun]:
        """A policy's runs, newest first; also of one that was removed."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document("GET", _runs(policy_id), params={"limit": page_size, "cursor": cursor})

        return (RetrainingRun.from_document(each) for each in each_document(fetch, "runs"))

    def run(self, policy_id: str, run_id: str) -> RetrainingRun:
        return RetrainingRun.from_document(
            self.transport.document("GET", f"{_runs(policy_id)}/{quote(run_id, safe='')}")
        )

    def wait(
        self,
        policy_id: str,
        run_id: str,
        timeout: float | None = None,
        observe: Callable[[RetrainingRun], None] | None = None,
    ) -> RetrainingRun:
        """The run, once it is over (ask ``has_succeeded()``). What it deploys, it deploys thereafter.

        Args:
            observe: told each state as it is fetched.

        Raises:
            WaitTimeoutError: it isn't after ``timeout`` seconds; it goes on.
        """
        return wait_until(
            lambda: self.run(policy_id, run_id),
            RetrainingRun.is_over,
            describe=f"run {run_id} of retraining policy {policy_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
            observe=observe,
        )


def _one(policy_id: str) -> str:
    return f"{POLICIES}/{quote(policy_id, safe='')}"


def _runs(policy_id: str) -> str:
    return f"{_one(policy_id)}/runs"
