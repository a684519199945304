"""The calls about rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aimatrix.client.paging import each_document
from aimatrix.client.rollouts import Rollout
from aimatrix.client.transport import Transport
from aimatrix.client.waiting import wait_until


@dataclass(frozen=True)
class RolloutCalls:
    """``client.rollouts``."""

    transport: Transport
    monotonic: Callable[[], float] = time.monotonic

    def start(self, deployment_id: str, model_id: str, plan: Mapping[str, Any] | None = None) -> Rollout:
        """Lets another version take over step by step. A rollout that is under way is overtaken.

        Args:
            plan: ``steps`` or ``strategy``, ``gates``, ``evaluation_seconds``, ``patience``, as docs/rollouts.md has them.

        Raises:
            ConflictError: the deployment is not active, or busy; or the version can't be served, or is served already.
            InvalidRequestError: what is wrong with the plan, by field.
        """
        body = {**(plan or {}), "to": {"model_id": model_id}}
        return Rollout.from_document(self.transport.document("POST", _all(deployment_id), body=body))

    def list(self, deployment_id: str, *, page_size: int = 50) -> Iterator[Rollout]:
        """A deployment's rollouts, newest first."""

        def fetch(cursor: str | None) -> dict[str, Any]:
            return self.transport.document("GET", _all(deployment_id), params={"limit": page_size, "cursor": cursor})

        return (Rollout.from_document(each) for each in each_document(fetch, "rollouts"))

    def get(self, deployment_id: str, rollout_id: str) -> Rollout:
        return Rollout.from_document(self.transport.document("GET", _one(deployment_id, rollout_id)))

    def pause(self, deployment_id: str, rollout_id: str) -> Rollout:
        """Goes no step further; the gates are watched as before."""
        return self._act(deployment_id, rollout_id, "pause")

    def resume(self, deployment_id: str, rollout_id: str) -> Rollout:
        return self._act(deployment_id, rollout_id, "resume")

    def promote(self, deployment_id: str, rollout_id: str) -> Rollout:
        """Lets the new version be alone, whatever steps are left."""
        return self._act(deployment_id, rollout_id, "promote")

    def abort(self, deployment_id: str, rollout_id: str) -> Rollout:
        """Brings the old weights back, at once."""
        return self._act(deployment_id, rollout_id, "abort")

    def wait(
        self,
        deployment_id: str,
        rollout_id: str,
        timeout: float | None = None,
        observe: Callable[[Rollout], None] | None = None,
    ) -> Rollout:
        """The rollout, once it has ended (ask ``has_succeeded()``).

        Args:
            observe: told each state as it is fetched.

        Raises:
            WaitTimeoutError: it hasn't after ``timeout`` seconds; it goes on.
        """
        return wait_until(
            lambda: self.get(deployment_id, rollout_id),
            Rollout.is_over,
            describe=f"rollout {rollout_id} of deployment {deployment_id}",
            timeout=timeout,
            sleep=self.transport.sleep,
            monotonic=self.monotonic,
            observe=observe,
        )

    def _act(self, deployment_id: str, rollout_id: str, action: str) -> Rollout:
        return Rollout.from_document(self.transport.document("POST", f"{_one(deployment_id, rollout_id)}/{action}"))


def _all(deployment_id: str) -> str:
    return f"/deployments/{quote(deployment_id, safe='')}/rollouts"


def _one(deployment_id: str, rollout_id: str) -> str:
    return f"{_all(deployment_id)}/{quote(rollout_id, safe='')}"
