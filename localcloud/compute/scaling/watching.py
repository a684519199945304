"""Looks at the processes behind each scalable target, and has some added or removed."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from localcloud.compute.errors import ApiError
from localcloud.compute.host import Host
from localcloud.compute.hosting.endpoints import Endpoints
from localcloud.compute.hosting.metrics import EndpointMetrics
from localcloud.compute.hosting.usage import Used
from localcloud.compute.operations import Document
from localcloud.compute.scaling.targets import (
    CONCURRENT,
    CPU,
    DIMENSION,
    INVOCATIONS,
    MEMORY,
    NAMESPACE,
    Resource,
    Targets,
    bounds,
    tracked,
)
from localcloud.compute.scaling.tracking import Change, Since, decide

logger = logging.getLogger(__name__)

_MINUTE = 60.0


@dataclass(frozen=True)
class ScalingSettings:
    """
    Attributes:
        period: seconds between two looks.
        adding, removing: looks in a row that have to be above, or below, the target.
    """

    period: float = 1.0
    adding: int = 3
    removing: int = 15


@dataclass
class _Watched:
    """What has been seen of a target since it was first looked at.

    Attributes:
        refusal: why the last change was not begun.
    """

    seen: dict[str, deque[float]]
    used: Used | None = None
    requests: int = 0
    since: Since = field(default_factory=Since)
    activity: Document | None = None
    refusal: str | None = None


class Watching:
    def __init__(
        self, host: Host, endpoints: Endpoints, metrics: EndpointMetrics, targets: Targets, settings: ScalingSettings
    ) -> None:
        self._host = host
        self._endpoints = endpoints
        self._metrics = metrics
        self._targets = targets
        self._settings = settings
        self._watched: dict[str, _Watched] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_looking(), name="auto scaling")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep_looking(self) -> None:
        while True:
            await self._host.sleep(self._settings.period)
            try:
                await self.look()
            except Exception:
                # Whoever looks after capacity must not be the one who dies of it.
                logger.exception("auto scaling could not look at the endpoints")

    async def look(self) -> None:
        """Once at every target."""
        registered = {target["ResourceId"]: target for target in self._targets.all()}
        self._watched = {key: watched for key, watched in self._watched.items() if key in registered}
        for key, target in registered.items():
            resource = Resource.parse(key)
            if not self._endpoints.has_variant(resource.endpoint, resource.variant):
                # The endpoint has been deleted: as on AWS its targets go with it.
                self._targets.deregister(resource)
                continue
            await self._look_at(resource, target, self._watched.setdefault(key, self._new()))

    async def _look_at(self, resource: Resource, target: Document, watched: _Watched) -> None:
        current = self._endpoints.settled_count(resource.endpoint, resource.variant)
        if current is None:
            # It is changing: nothing is added or removed meanwhile.
            return
        self._end_activity(resource, watched, current)
        await self._measure(resource, watched)
        policies = [tracked(policy) for policy in self._targets.policies(resource)]
        periods = self._settings.adding, self._settings.removing
        now = self._host.now()
        seen = {metric: tuple(values) for metric, values in watched.seen.items()}
        change = decide(current, bounds(target), policies, seen, periods, watched.since, now)
        if change is not None:
            await self._change(resource, watched, current, change)

    async def _measure(self, resource: Resource, watched: _Watched) -> None:
        instances = self._endpoints.instances(resource.endpoint, resource.variant)
        count = max(1, len(instances))
        used = await self._host.blocking.run(Used.of, [instance.pid for instance in instances], self._host.now())
        requests = self._metrics.total(resource.endpoint, resource.variant)
        if watched.used is not None:
            values = {
                CPU: used.cpu_since(watched.used) / count,
                MEMORY: used.memory_percent / count,
                INVOCATIONS: (requests - watched.requests) * _MINUTE / self._settings.period / count,
                CONCURRENT: sum(instance.in_flight for instance in instances) / count,
            }
            for metric, value in values.items():
                watched.seen[metric].append(value)
        watched.used, watched.requests = used, requests

    async def _change(self, resource: Resource, watched: _Watched, current: int, change: Change) -> None:
        try:
            self._endpoints.scale(resource.endpoint, resource.variant, change.count)
        except ApiError as error:
            self._refused(resource, watched, change, error)
            return
        watched.refusal = None
        now = self._host.now()
        is_more = change.count > current
        watched.since = replace(watched.since, **{"added" if is_more else "removed": now})
        if is_more:
            # Whatever was seen with fewer instances says nothing of what they are used for from now on.
            watched.since = replace(watched.since, removed=None)
        for values in watched.seen.values():
            values.clear()
        watched.activity = self._activity(resource, change, now)
        self._targets.note(watched.activity)

    def _refused(self, resource: Resource, watched: _Watched, change: Change, error: ApiError) -> None:
        """It is tried again as long as it is wanted; the same refusal is told once."""
        logger.warning("instances were not changed", extra={"target": resource.id, "reason": error.message})
        if error.message == watched.refusal:
            return
        watched.refusal = error.message
        now = self._host.now()
        why = f"{error.message} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: {error.code})."
        self._targets.note(_failed(self._activity(resource, change, now), why, now))

    def _activity(self, resource: Resource, change: Change, now: Any) -> Document:
        policy = change.policy
        cause = "maximum or minimum capacity was changed"
        if policy is not None:
            cause = f"policy {policy.name}: {policy.metric} is {change.value:.4g}, its target {policy.target:g}"
        return {
            "ActivityId": self._host.new_id(),
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource.id,
            "ScalableDimension": DIMENSION,
            "Description": f"Setting desired instance count to {change.count}.",
            "Cause": cause,
            "StartTime": now,
            "StatusCode": "InProgress",
            "wanted": change.count,
        }

    def _end_activity(self, resource: Resource, watched: _Watched, current: int) -> None:
        activity, now = watched.activity, self._host.now()
        if activity is None:
            return
        watched.activity = None
        wanted = activity["wanted"]
        if current != wanted:
            why = self._endpoints.failure_reason(resource.endpoint) or f"There are {current} instances."
            self._targets.note(_failed(activity, why, now))
            return
        said = f"Successfully set desired instance count to {wanted}."
        self._targets.note(_ended(activity, "Successful", said, now))

    def _new(self) -> _Watched:
        kept = max(self._settings.adding, self._settings.removing)
        return _Watched(seen=defaultdict(lambda: deque(maxlen=kept)))


def _ended(activity: Document, status: str, said: str, now: datetime) -> Document:
    kept = {name: value for name, value in activity.items() if name != "wanted"}
    return {**kept, "EndTime": now, "StatusCode": status, "StatusMessage": said}


def _failed(activity: Document, why: str, now: datetime) -> Document:
    """In the words of https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-query-history.html"""
    return _ended(
        activity, "Failed", f"Failed to set desired instance count to {activity['wanted']}. Reason: {why}", now
    )
