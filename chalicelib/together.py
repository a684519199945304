"""Several reads at once: what a request waits for is then the slowest of them, and not their sum."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")

MOST = 4


class Together(Protocol):
    """Runs two calls that do not depend on each other."""

    def __call__(self, first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
        """Both results. When both fail, the first one's error is raised."""


def one_after_the_other(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    return first(), second()


def at_once(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """The second call runs in a thread of this process; boto3's clients may be shared by threads."""
    waiting = _threads().submit(second)
    try:
        done = first()
    finally:
        # Nothing of a request may go on when it has been answered.
        failed = waiting.exception()
    if failed is not None:
        raise failed
    return done, waiting.result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, thread_name_prefix="together")
