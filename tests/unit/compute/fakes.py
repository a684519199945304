"""The embedded cloud as the compute emulator sees it, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock
from typing import Any

from localcloud.compute.aws_clients import ObjectError
from localcloud.compute.errors import AccessDenied
from localcloud.compute.host import Decision, HttpRequest, MetricDeliveryError, RoleCredentials
from localcloud.compute.log_shipping import OWN_MARK, LogDeliveryError
from localcloud.compute.operations import Authorization

ROLE = "arn:aws:iam::000000000000:role/training"


@dataclass
class FakeControl:
    """Allows everything but `denied` actions; knows every role but `unknown_roles`; keeps what it was told."""

    denied: set[str] = field(default_factory=set)
    unknown_roles: set[str] = field(default_factory=set)
    asked: list[Authorization] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    process: str = "first"
    lifetime: timedelta = timedelta(hours=1)

    async def authorize(self, request: HttpRequest, service: str, authorization: Authorization) -> Decision:
        self.asked.append(authorization)
        allowed = authorization.action not in self.denied
        return Decision(
            allowed, "AccessDeniedException", f"not authorized to perform: {authorization.action}", "arn:caller"
        )

    async def credentials(self, role_arn: str, service: str, session_name: str) -> RoleCredentials:
        if role_arn in self.unknown_roles:
            raise AccessDenied(f"{service} may not assume {role_arn}")
        self.issued.append(role_arn)
        return RoleCredentials(
            f"AKIA{len(self.issued):04d}", "secret", f"token of {role_arn}", datetime.now(UTC) + self.lifetime
        )

    async def instance(self) -> str:
        return self.process

    async def put_events(self, entries: list[dict[str, Any]]) -> None:
        self.events += entries


@dataclass
class FakeObjects:
    """S3 in a dictionary, one for all roles. While `gate` is closed, downloads wait (or see that they are cancelled)."""

    content: dict[tuple[str, str], bytes] = field(default_factory=dict)
    buckets: frozenset[str] = frozenset({"data", "out"})
    refuse_uploads: bool = False
    gate: Event = field(default_factory=Event)
    waiting: Event = field(default_factory=Event)
    used_tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def as_role(self, credentials: RoleCredentials) -> FakeObjects:
        self.used_tokens.append(credentials.token)
        return self

    def put(self, address: str, data: bytes) -> None:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        self.content[bucket, key] = data

    def get(self, address: str) -> bytes:
        bucket, _, key = address.removeprefix("s3://").partition("/")
        return self.content[bucket, key]

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int]]:
        if bucket not in self.buckets:
            raise ObjectError("NoSuchBucket", "The specified bucket does not exist")
        return sorted(
            (key, len(data)) for (held, key), data in self.content.items() if held == bucket and key.startswith(prefix)
        )

    def download(self, bucket: str, key: str, destination: Path, cancelled: Event) -> None:
        self.waiting.set()
        while not self.gate.wait(0.01):
            if cancelled.is_set():
                return
        with destination.open("xb") as target:
            target.write(self.content[bucket, key])

    def upload(self, source: Path, bucket: str, key: str) -> None:
        if self.refuse_uploads:
            raise ObjectError("AccessDenied", "Access Denied")
        self.content[bucket, key] = source.read_bytes()

    def size(self, bucket: str, key: str) -> int | None:
        data = self.content.get((bucket, key))
        return None if data is None else len(data)


@dataclass
class FakeMetrics:
    """CloudWatch. `broken`: so many deliveries fail first."""

    data: list[dict[str, Any]] = field(default_factory=list)
    broken: int = 0

    def put_metrics(self, namespace: str, data: list[dict[str, Any]]) -> None:
        if self.broken:
            self.broken -= 1
            raise MetricDeliveryError("not now")
        self.data += [{"Namespace": namespace, **datum} for datum in data]

    def total(self, metric: str, **dimensions: str) -> float:
        """Of all values of a metric, each as often as it came."""
        wanted = set(dimensions.items())
        found = (
            datum
            for datum in self.data
            if datum["MetricName"] == metric
            and wanted <= {(each["Name"], each["Value"]) for each in datum["Dimensions"]}
        )
        return float(
            sum(value * count for each in found for value, count in zip(each["Values"], each["Counts"], strict=True))
        )


@dataclass
class FakeLogs:
    """CloudWatch Logs. `broken`: so many deliveries fail first. While `gate` is closed, deliveries wait."""

    streams: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    broken: int = 0
    gate: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    def create_stream(self, group: str, stream: str) -> None:
        with self._lock:
            self.streams.setdefault((group, stream), [])

    def put(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        self.gate.wait()
        with self._lock:
            if self.broken:
                self.broken -= 1
                raise LogDeliveryError("not now")
            self.batches.append(len(events))
            self.streams[group, stream] += [message for _, message in events]

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    def lines(self) -> list[str]:
        """All lines of all streams that processes have printed."""
        return [line for line in self._all() if not line.startswith(OWN_MARK)]

    def notices(self) -> list[str]:
        """All lines that the emulator has added."""
        return [line for line in self._all() if line.startswith(OWN_MARK)]

    def _all(self) -> list[str]:
        return [line for lines in self.streams.values() for line in lines]
