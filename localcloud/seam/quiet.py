"""Lets those who wait for an answer go first.

On AWS, accepting requests and running what they asked for happen on different machines. On two cores, the executions that
the first requests of a burst have started would slow down the acceptance of the rest. So an execution begins when no request
that changes something is on its way and none was a moment ago, but never more than a second late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope

QUIET_SECONDS = 0.02
LONGEST_SECONDS = 1.0


class Quiet:
    """Knows whether requests that change something are on their way."""

    def __init__(self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._watching = threading.Lock()
        self._under_way = 0
        self._last = float("-inf")

    def begin(self) -> None:
        """A request begins."""
        with self._lock:
            self._under_way += 1

    def end(self) -> None:
        """A request has been answered."""
        with self._lock:
            self._under_way -= 1
            self._last = self._now()

    def wait(self) -> None:
        """Returns when it is quiet, or when that takes too long."""
        # One thread looks, for all that wait: fifty looks a second of each would cost what they are meant to save.
        if not self._watching.acquire(timeout=LONGEST_SECONDS):
            return
        try:
            deadline = self._now() + LONGEST_SECONDS
            while (left := self._left()) > 0 and self._now() < deadline:
                self._sleep(left)
        finally:
            self._watching.release()

    def _left(self) -> float:
        with self._lock:
            if self._under_way:
                return QUIET_SECONDS
            return self._last + QUIET_SECONDS - self._now()


class Watched:
    """The ASGI application of a deployed API, whose changing requests are noted."""

    def __init__(self, application: ASGI3Application, quiet: Quiet) -> None:
        self._application = application
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._application(scope, receive, send)
            return
        self._quiet.begin()
        try:
            await self._application(scope, receive, send)
        finally:
            self._quiet.end()
