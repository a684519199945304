"""Waiting for a record to settle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aimatrix.client.errors import WaitTimeoutError

T = TypeVar("T")

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 2.0


def wait_until(
    fetch: Callable[[], T],
    settled: Callable[[T], bool],
    *,
    describe: str,
    timeout: float | None,
    sleep: Callable[[float], None],
    monotonic: Callable[[], float],
    observe: Callable[[T], None] | None = None,
) -> T:
    """Fetches until ``settled``, ever more slowly: a record's state is asked for, as REST has no way to be told.

    Args:
        observe: told each state as it was fetched, the settled one included.

    Raises:
        WaitTimeoutError: not settled after ``timeout`` seconds.
    """
    deadline = None if timeout is None else monotonic() + timeout
    pause = FIRST_PAUSE
    while True:
        value = fetch()
        if observe is not None:
            observe(value)
        if settled(value):
            return value
        if deadline is not None and monotonic() + pause > deadline:
            raise WaitTimeoutError(f"{describe} hasn't settled after {timeout:g} s; it goes on")
        sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.5)
