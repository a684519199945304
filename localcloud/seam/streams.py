"""When a table's stream is read: those who wait for an answer go first; see `quiet.py`.

On AWS, what reads streams runs elsewhere. Here it would take its share of two cores from the very requests that fill them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from ministack.services import lambda_svc


def install(begin: Callable[[], None]) -> None:
    """
    Args:
        begin: called before the streams are looked at, in the poller's own thread; may wait.
    """
    poll = lambda_svc._poll_dynamodb_streams

    @functools.wraps(poll)
    def when_quiet() -> bool:
        begin()
        found: bool = poll()
        return found

    lambda_svc._poll_dynamodb_streams = when_quiet
