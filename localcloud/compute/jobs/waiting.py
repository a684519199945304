"""Long poll: waiting for a job to become terminal."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from localcloud.compute.errors import ResourceNotFound

MAX_WAIT_SECONDS = 3600.0


class Finishes:
    """Wakes those who wait for the end of a job."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def announce(self, job: str) -> None:
        for future in self._waiting.pop(job, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, job: str, seconds: float) -> bool:
        """True when the end was announced within `seconds`; the caller has looked that it has not ended before."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[job].add(future)
        try:
            await asyncio.wait_for(future, min(seconds, MAX_WAIT_SECONDS))
        except TimeoutError:
            return False
        finally:
            self._waiting[job].discard(future)
            if not self._waiting[job]:
                del self._waiting[job]
        return True


def seconds_of(text: str | None) -> float:
    """The ``timeout`` query parameter.

    Raises:
        ValueError: not a number of seconds.
    """
    seconds = float(text) if text is not None else 60.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise ValueError(f"timeout must be from 0 to {MAX_WAIT_SECONDS:g} seconds")
    return seconds


class Job(Protocol):
    """A record of a job."""

    @property
    def is_terminal(self) -> bool: ...

    def describe(self) -> dict[str, Any]: ...


async def answer_at_the_end(finishes: Finishes, request: Request, find: Callable[[str], Job]) -> Response:
    """The description (times as numbers) once the job has ended, or when the time is over.

    Args:
        request: with `name` in its path, and perhaps `timeout` in its query.
        find: raises ResourceNotFound.
    """
    name = request.path_params["name"]
    try:
        seconds = seconds_of(request.query_params.get("timeout"))
        if not find(name).is_terminal:
            await finishes.wait(name, seconds)
        shown = find(name).describe()
    except ResourceNotFound as error:
        return JSONResponse({"code": error.code, "message": error.message}, 404)
    except ValueError as error:
        return JSONResponse({"code": "ValidationException", "message": str(error)}, 400)
    return JSONResponse(json.loads(json.dumps(shown, default=lambda value: value.timestamp())))
