"""Puts the emulator together: the one place where every collaborator is made."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from starlette.applications import Starlette

from localcloud.compute.account import AccountLimits, AccountPart
from localcloud.compute.app import build_app
from localcloud.compute.aws_clients import AwsClients
from localcloud.compute.batch import BatchPart
from localcloud.compute.control import HttpControlPlane, http_post
from localcloud.compute.credentials import CredentialDesk
from localcloud.compute.event_outbox import EventOutbox
from localcloud.compute.faults import FaultPlan
from localcloud.compute.host import Blocking, ControlPlane, Host, MetricSink, ObjectStore, RoleCredentials
from localcloud.compute.host_part import HostPart
from localcloud.compute.hosting import HostingPart
from localcloud.compute.jobs.capacity import Slots
from localcloud.compute.log_shipping import LogSink
from localcloud.compute.operations import Part
from localcloud.compute.processes import ProcessLauncher
from localcloud.compute.scaling import ScalingPart
from localcloud.compute.settings import Settings
from localcloud.compute.store import DocumentStore
from localcloud.compute.tags import SageMakerTags
from localcloud.compute.training import TrainingPart
from localcloud.compute.transforming import TransformPart

TOKEN_BYTES = 32


def utc_now() -> datetime:
    return datetime.now(UTC)


def make_host(
    settings: Settings,
    control: Callable[[Blocking], ControlPlane],
    objects: Callable[[RoleCredentials], ObjectStore],
    logs: LogSink,
    metrics: MetricSink,
    now: Callable[[], datetime] = utc_now,
) -> Host:
    """A host for the parts; opens the store. Needs a running loop."""
    settings.jobs_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings.environments_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = DocumentStore(settings.database)
    blocking = Blocking(settings.blocking_threads)
    plane = control(blocking)
    faults = FaultPlan()
    return Host(
        settings=settings,
        store=store,
        control=plane,
        credentials=CredentialDesk(plane, now, new_id, lambda: secrets.token_urlsafe(TOKEN_BYTES)),
        objects=objects,
        logs=logs,
        metrics=metrics,
        events=EventOutbox(store, plane, faults),
        launcher=ProcessLauncher(_host_id(store)),
        faults=faults,
        limits=AccountLimits.of(settings),
        blocking=blocking,
        now=now,
        sleep=asyncio.sleep,
        new_id=new_id,
    )


def make_parts(host: Host) -> Sequence[Part]:
    tags = SageMakerTags()
    slots = Slots(host.settings.host_slots)
    training = TrainingPart(host, slots)
    tags.register("training-job", training)
    hosting = HostingPart(host, tags)
    transforming = TransformPart(host, slots, hosting.models)
    tags.register("transform-job", transforming)
    return [
        HostPart(host, tags),
        training,
        BatchPart(host, slots, training),
        hosting,
        transforming,
        ScalingPart(host, hosting),
        AccountPart(host.settings, host.limits),
    ]


def make_app(host: Host, secret: str) -> Starlette:
    return build_app(host, make_parts(host), secret, lambda: close_host(host))


def real_host(settings: Settings, environment: Mapping[str, str]) -> Host:
    """The host of a running emulator: everything real."""
    clients = AwsClients(settings.aws_url, settings.region)
    clients.warm()
    secret = environment["AIMATRIX_CONTROL_SECRET"]
    keys = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
    return make_host(
        settings,
        lambda blocking: HttpControlPlane(http_post(settings.control_url, secret), blocking, asyncio.sleep),
        clients.objects,
        clients.logs(*keys),
        clients.metrics(*keys),
    )


def new_id() -> str:
    return str(uuid.uuid4())


def _host_id(store: DocumentStore) -> str:
    """Names this state directory, so that processes of an earlier emulator on it are recognised."""
    kept = store.get("meta", "host")
    if kept is None:
        kept = {"id": new_id()}
        store.insert("meta", "host", kept)
    return str(kept["id"])


def close_host(host: Host) -> None:
    host.blocking.close()
    host.store.close()
