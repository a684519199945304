"""Work with S3 as a job's role, across a restart of the embedded cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event
from typing import Concatenate, ParamSpec, TypeVar

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.control import ControlUnavailable
from localcloud.compute.credentials import Grant
from localcloud.compute.host import Host, ObjectStore

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_SECONDS = 60.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class RoleStorage:
    """S3 with the keys of a grant, which are asked for anew at each try.

    Args:
        patience: seconds for which to try again.
        cancelled: ends the trying, once set.
    """

    def __init__(
        self, host: Host, grant: Grant, cancelled: Event | None = None, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._host = host
        self._grant = grant
        self._cancelled = cancelled or Event()
        self._patience = patience

    async def run(self, function: Callable[Concatenate[ObjectStore, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(store, ...)`` in the blocking pool. What passes is tried again for `patience` seconds, so `function`
        begins from the beginning each time.

        Raises:
            ApiError: there are no keys.
            Exception: what `function` raises.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                keys = await self._host.credentials.credentials_of(self._grant)
                objects = await self._host.blocking.run(self._host.objects, keys)
                return await self._host.blocking.run(function, objects, *args, **kwargs)
            except Exception as error:
                if not passes(error) or self._cancelled.is_set() or loop.time() >= deadline:
                    raise
            await self._host.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)


def passes(error: BaseException | None) -> bool:
    """Whether a failure, or what it was raised from, is one of the embedded cloud being started again."""
    while error is not None:
        if isinstance(error, ControlUnavailable) or (isinstance(error, ObjectError) and error.passing):
            return True
        error = error.__cause__
    return False
