"""Serves an ASGI application on loopback, in a process that ends with its parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import uvicorn

from localcloud import lifeline
from localcloud.state import HOST

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

_KEEP_ALIVE_SECONDS = 75
_SHUTDOWN_SECONDS = 2
_BACKLOG = 2048


def serve(
    application: ASGI3Application,
    port: int,
    environ: Mapping[str, str],
    *,
    lifespan: bool = False,
    on_end: Callable[[], None] | None = None,
) -> None:
    """Answer requests until a signal comes or the parent is gone.

    Args:
        lifespan: run the application's start-up and shutdown handlers.
        on_end: called last, however the server ended; not called when the parent died.
    """
    lifeline.watch(environ, _leave_with_children)
    config = uvicorn.Config(
        application,
        host=HOST,
        port=port,
        lifespan="on" if lifespan else "off",
        access_log=False,
        log_level="warning",
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    try:
        uvicorn.Server(config).run()
    finally:
        if on_end is not None:
            on_end()


def _leave_with_children() -> None:
    """The parent is gone: end everything in this process's session at once, itself included."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
