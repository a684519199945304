"""Hosting as a part of the emulator."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute

from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import ENDPOINT, ENDPOINT_CONFIG, MODEL
from localcloud.compute.hosting.endpoint_configs import EndpointConfigs
from localcloud.compute.hosting.endpoints import Endpoints
from localcloud.compute.hosting.metrics import EndpointMetrics
from localcloud.compute.hosting.models import Models
from localcloud.compute.hosting.runtime import Runtime
from localcloud.compute.hosting.settings import HostingSettings
from localcloud.compute.operations import Operation
from localcloud.compute.tags import SageMakerTags


class HostingPart:
    """See `operations.Part`."""

    def __init__(
        self,
        host: Host,
        tags: SageMakerTags,
        settings: HostingSettings | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        limits = settings or HostingSettings()
        self.models = Models(host)
        self._configs = EndpointConfigs(host, self.models)
        self.endpoints = Endpoints(host, limits, self.models, self._configs)
        self.metrics = EndpointMetrics(host)
        self._runtime = Runtime(host, limits, self.endpoints, self.metrics, dice)
        tags.register(MODEL, self.models.records)
        tags.register(ENDPOINT_CONFIG, self._configs.records)
        tags.register(ENDPOINT, self.endpoints.records)

    def operations(self) -> Sequence[Operation]:
        return [
            *self.models.operations(),
            *self._configs.operations(),
            *self.endpoints.operations(),
            *self._runtime.operations(),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return []

    async def start(self) -> None:
        # One line for each invocation would drown everything else.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self.metrics.start()
        await self.endpoints.start()

    async def stop(self) -> None:
        await self._runtime.stop()
        await self.endpoints.stop()
        await self.metrics.stop()
