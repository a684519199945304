"""The part that looks after what all parts share: leftovers of an earlier start, event delivery, tags."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.routing import BaseRoute

from localcloud.compute.host import Host
from localcloud.compute.operations import Operation
from localcloud.compute.tags import SageMakerTags

logger = logging.getLogger(__name__)


class HostPart:
    """Comes first: it starts before, and stops after, the parts that run processes."""

    def __init__(self, host: Host, tags: SageMakerTags) -> None:
        self._host = host
        self._tags = tags

    def operations(self) -> Sequence[Operation]:
        return self._tags.operations()

    def routes(self) -> Sequence[BaseRoute]:
        return []

    async def start(self) -> None:
        self._host.launcher.become_subreaper()
        killed = await self._host.blocking.run(self._host.launcher.sweep_leftovers)
        if killed:
            logger.warning("killed processes of an earlier start", extra={"count": killed})
        self._host.events.start()

    async def stop(self) -> None:
        await self._host.events.stop()
