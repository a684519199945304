"""What SageMaker tells CloudWatch of an endpoint's requests.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html: Invocations, Invocation4XXErrors,
Invocation5XXErrors and InvocationModelErrors are 1 or 0 for each request, ModelLatency is in microseconds. Sent once a
second while there is something to tell; SageMaker itself takes a minute or two.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcloud.compute.host import Host, MetricDeliveryError

logger = logging.getLogger(__name__)

NAMESPACE = "AWS/SageMaker"
SECONDS = 1.0
_VALUES = 150
"""Different values of a metric that PutMetricData takes at once."""
_DATA = 500
_DIGITS = 3


@dataclass
class _Tally:
    """What came of the requests to one variant since the last sending."""

    requests: int = 0
    refused: int = 0
    failed: int = 0
    unanswered: int = 0
    microseconds: Counter[int] = field(default_factory=Counter)

    def data(self, dimensions: list[dict[str, str]], at: Any) -> Iterator[dict[str, Any]]:
        hits = {
            "Invocations": self.requests,
            "Invocation4XXErrors": self.refused,
            "Invocation5XXErrors": self.failed,
            "InvocationModelErrors": self.refused + self.failed + self.unanswered,
        }
        common: Mapping[str, Any] = {"Dimensions": dimensions, "Timestamp": at}
        for name, number in hits.items():
            both = {1.0: number, 0.0: self.requests - number}
            seen = {value: count for value, count in both.items() if count}
            yield {**common, "MetricName": name, "Values": list(seen), "Counts": list(seen.values()), "Unit": "None"}
        latencies = sorted(self.microseconds.items())
        for start in range(0, len(latencies), _VALUES):
            part = latencies[start : start + _VALUES]
            values, counts = [float(value) for value, _ in part], [float(count) for _, count in part]
            yield {
                **common,
                "MetricName": "ModelLatency",
                "Values": values,
                "Counts": counts,
                "Unit": "Microseconds",
            }


class EndpointMetrics:
    """Counts in memory, and sends."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tallies: dict[tuple[str, str], _Tally] = {}
        self._totals: Counter[tuple[str, str]] = Counter()
        self._counted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def answered(self, endpoint: str, variant: str, status: int, seconds: float) -> None:
        """A container answered."""
        tally = self._tally(endpoint, variant)
        tally.refused += 400 <= status < 500
        tally.failed += status >= 500
        tally.microseconds[_rounded(seconds)] += 1

    def unanswered(self, endpoint: str, variant: str) -> None:
        """Nobody did, or not in time."""
        self._tally(endpoint, variant).unanswered += 1

    def total(self, endpoint: str, variant: str) -> int:
        """Requests to a variant since the emulator was started."""
        return self._totals[endpoint, variant]

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_sending(), name="endpoint metrics")

    async def stop(self) -> None:
        """Sends what is left, unless the cloud is gone already."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._send()

    def _tally(self, endpoint: str, variant: str) -> _Tally:
        tally = self._tallies.setdefault((endpoint, variant), _Tally())
        tally.requests += 1
        self._totals[endpoint, variant] += 1
        self._counted.set()
        return tally

    async def _keep_sending(self) -> None:
        while True:
            await self._counted.wait()
            self._counted.clear()
            await self._send()
            await self._host.sleep(SECONDS)

    async def _send(self) -> None:
        tallies, self._tallies = self._tallies, {}
        now = self._host.now()
        data = [
            datum
            for (endpoint, variant), tally in tallies.items()
            for datum in tally.data(
                [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}], now
            )
        ]
        try:
            for start in range(0, len(data), _DATA):
                await self._host.blocking.run(self._host.metrics.put_metrics, NAMESPACE, data[start : start + _DATA])
        except MetricDeliveryError as error:
            # As on AWS, where metrics are best effort.
            logger.warning("metrics of endpoints were not taken", extra={"reason": str(error), "count": len(data)})


def _rounded(seconds: float) -> int:
    """Microseconds to some digits, so that a second of many requests has few different values."""
    microseconds = max(1, round(seconds * 1_000_000))
    unit = int(10 ** max(0, len(str(microseconds)) - _DIGITS))
    return microseconds // unit * unit
