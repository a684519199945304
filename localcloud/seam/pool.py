"""Which worker runs an invocation.

AWS starts another execution environment whenever all of a function's are busy; it has the machines for it. A laptop that
does so under a burst spends its two cores on starting Python and answers nobody. Here an invocation first waits a moment
for a worker to become free, and only as many workers as there are cores start at the same time. No invocation is refused,
and none waits for ever: a function that calls itself gets a second worker.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime

# About what it takes to start a worker while another one starts beside it.
PATIENCE_SECONDS = 0.5


class Pool:
    """Leases ministack's workers, under ministack's own lock."""

    def __init__(
        self,
        starting: int = os.cpu_count() or 1,
        patience: float = PATIENCE_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it.

        Args:
            starting: how many workers may start at the same time.
            patience: seconds to wait for a free worker before another one is started.
        """
        self._starting_limit = starting
        self._starting = 0
        self._patience = patience
        self._now = now
        self._changed = threading.Condition(lambda_runtime._lock)

    def acquire(
        self,
        func_name: str,
        config: dict[str, Any],
        code_zip: bytes,
        qualifier: str = "$LATEST",
        max_concurrency: int | None = None,  # noqa: ARG002  (ministack enforces concurrency limits before it comes here)
    ) -> tuple[Any, str]:
        """Lease a worker of a function; `release` gives it back."""
        key = lambda_runtime._worker_key(func_name, config, qualifier)
        deadline = self._now() + self._patience
        with self._changed:
            while True:
                workers = lambda_runtime._workers.setdefault(key, [])
                for worker in workers:
                    if not worker.in_use:
                        return self._lease(worker), "reused"
                patient = self._now() < deadline and workers
                if not patient and self._starting < self._starting_limit:
                    worker = lambda_runtime._worker_class_for(config)(func_name, config, code_zip)
                    workers.append(worker)
                    return self._lease(worker), "spawn"
                self._changed.wait(max(0.01, deadline - self._now()))

    def release(self, worker: Any) -> None:
        """Give a worker back."""
        if worker is None:
            return
        with self._changed:
            worker.in_use = False
            self._changed.notify_all()

    def begin_start(self) -> None:
        """A worker begins to start."""
        with self._changed:
            self._starting += 1

    def end_start(self) -> None:
        """A worker has started, or failed to."""
        with self._changed:
            self._starting -= 1
            self._changed.notify_all()

    def _lease(self, worker: Any) -> Any:
        worker.in_use = True
        worker.last_used = time.time()
        return worker
