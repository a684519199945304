"""What every part of the emulator stands on: one value that carries the collaborators, so that tests pass fakes.

`Host` is given to each part's ``build(host)``. All of it may be used from handlers on the event loop; what is marked
*blocking* goes through ``host.blocking.run``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from localcloud.compute.account import AccountLimits
    from localcloud.compute.credentials import CredentialDesk
    from localcloud.compute.event_outbox import EventOutbox
    from localcloud.compute.faults import FaultPlan
    from localcloud.compute.log_shipping import LogSink
    from localcloud.compute.operations import Authorization
    from localcloud.compute.processes import ProcessLauncher
    from localcloud.compute.settings import Settings
    from localcloud.compute.store import DocumentStore

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class HttpRequest:
    """A request as it came in, for the control plane to verify its signature."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Decision:
    """The control plane's answer to "may this caller do that?"."""

    allowed: bool
    code: str
    message: str
    principal: str


@dataclass(frozen=True)
class RoleCredentials:
    """Temporary keys of a role."""

    access_key_id: str
    secret_access_key: str
    token: str
    expiration: datetime


class ControlPlane(Protocol):
    """The embedded cloud's side of the emulator: identity and events. The real one is `control.HttpControlPlane`."""

    async def authorize(self, request: HttpRequest, service: str, authorization: Authorization) -> Decision:
        """Verifies the signature and evaluates the caller's policies, PassRole and the passed role's trust."""

    async def credentials(self, role_arn: str, service: str, session_name: str) -> RoleCredentials:
        """Keys of `role_arn`, as the AWS service `service` (e.g. ``sagemaker.amazonaws.com``) would assume it.

        Raises:
            ApiError: the role does not exist, or does not trust the service.
        """

    async def instance(self) -> str:
        """Names the running process of the control plane: role credentials are lost with the process that gave them.

        Raises:
            ApiError: it does not answer.
        """

    async def put_events(self, entries: list[dict[str, Any]]) -> None:
        """Delivers EventBridge entries, in order."""


class ObjectStore(Protocol):
    """S3 with one set of credentials. *Blocking*. The real one is `aws_clients.S3Objects`.

    Raises:
        aws_clients.ObjectError: with S3's code and message, for each method.
    """

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        """(key, size) of every object whose key starts with `prefix`."""

    def download(self, bucket: str, key: str, destination: Path, cancelled: Event) -> None:
        """Writes the object to `destination`, whose parent exists; returns early, half done, once `cancelled` is set."""

    def upload(self, source: Path, bucket: str, key: str) -> None:
        """Stores the regular file `source`."""

    def size(self, bucket: str, key: str) -> int | None:
        """Length of the object, or None when there is no such key."""


class MetricDeliveryError(Exception):
    """CloudWatch could not be reached, or refused."""


class MetricSink(Protocol):
    """CloudWatch. *Blocking*. The real one is `aws_clients.CloudWatchMetrics`.

    Raises:
        MetricDeliveryError: it does not take them now.
    """

    def put_metrics(self, namespace: str, data: list[dict[str, Any]]) -> None:
        """Takes data as PutMetricData has them."""


async def to_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on to its end where the caller is cancelled; the caller is so once it is there."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise


class Blocking:
    """A bounded pool for blocking work (S3, logs, archives)."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="blocking")

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def run_to_end(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for what must not be left half done: a caller that is cancelled is so once it is done."""
        return await to_end(self.run(function, *args, **kwargs))

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Host:
    """Collaborators of the parts.

    Attributes:
        now: the clock, UTC and aware.
        objects: makes an `ObjectStore` for a role's credentials.
        new_id: makes a random lower-case UUID string.
    """

    settings: Settings
    store: DocumentStore
    control: ControlPlane
    credentials: CredentialDesk
    objects: Callable[[RoleCredentials], ObjectStore]
    logs: LogSink
    metrics: MetricSink
    events: EventOutbox
    launcher: ProcessLauncher
    faults: FaultPlan
    limits: AccountLimits
    blocking: Blocking
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
