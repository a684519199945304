"""CloudWatch: what came of the requests to a variant, and how it stands with alarms and metrics.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from chalicelib.rollouts.rollout import Gate, GateType

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_MINUTE = 60
_NAMESPACE = "AWS/SageMaker"
_MAX_DATAPOINTS = 100_800


@dataclass(frozen=True)
class Served:
    """Attributes:
    slow: by gate, how many took longer than its bound.
    """

    requests: int
    errors: int
    slow: Mapping[Gate, int]


@dataclass(frozen=True)
class Traffic:
    client: CloudWatchClient

    def served(self, endpoint: str, variant: str, since: datetime, until: datetime, gates: Sequence[Gate]) -> Served:
        """What a variant was sent, from the beginning of the minute of `since`.

        An error is a request without an answer that is no error of the caller: InvocationModelErrors has 4XX among them, and
        Invocation5XXErrors lacks time-outs and broken connections.
        """
        latencies = {f"slow{at}": gate for at, gate in enumerate(gates) if gate.type is GateType.LATENCY}
        dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]

        def query(name: str, metric: str, statistic: str) -> dict[str, Any]:
            found = {"Namespace": _NAMESPACE, "MetricName": metric, "Dimensions": dimensions}
            return {"Id": name, "MetricStat": {"Metric": found, "Period": _MINUTE, "Stat": statistic}}

        queries = [
            query("requests", "Invocations", "Sum"),
            query("failed", "InvocationModelErrors", "Sum"),
            query("refused", "Invocation4XXErrors", "Sum"),
            query("timed", "ModelLatency", "SampleCount"),
            # In percent, of those that took no longer: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
            # Statistics-definitions.html, "percentile rank". The metric is in microseconds.
            *(query(name, "ModelLatency", f"PR(:{_microseconds(gate)})") for name, gate in latencies.items()),
        ]
        found = self._points(queries, since, until)
        timed = found["timed"]
        slow = {
            gate: sum(round(timed.get(at, 0) * (100 - within) / 100) for at, within in found[name].items())
            for name, gate in latencies.items()
        }
        requests, failed, refused = (round(sum(found[name].values())) for name in ("requests", "failed", "refused"))
        return Served(requests, max(0, failed - refused), slow)

    def values(
        self, namespace: str, since: datetime, until: datetime, gates: Sequence[Gate]
    ) -> dict[Gate, float | None]:
        """The last minute's value of each gate's metric."""
        if not gates:
            return {}
        queries = [
            {
                "Id": f"metric{at}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace,
                        "MetricName": gate.name,
                        "Dimensions": [{"Name": name, "Value": value} for name, value in gate.dimensions],
                    },
                    "Period": _MINUTE,
                    "Stat": gate.statistic,
                },
            }
            for at, gate in enumerate(gates)
        ]
        found = self._points(queries, since, until)
        points = {gate: found[f"metric{at}"] for at, gate in enumerate(gates)}
        return {gate: each[max(each)] if each else None for gate, each in points.items()}

    def alarms(self, gates: Sequence[Gate]) -> dict[Gate, str | None]:
        """The state of each gate's alarm; None where there is no such alarm."""
        names = sorted({gate.name for gate in gates if gate.name})
        if not names:
            return {}
        answer: Any = self.client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        alarms = (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ()))
        states = {alarm["AlarmName"]: str(alarm["StateValue"]) for alarm in alarms}
        return {gate: states.get(gate.name or "") for gate in gates}

    def _points(self, queries: Any, since: datetime, until: datetime) -> dict[str, dict[Any, float]]:
        """By query, each minute's value."""
        found: dict[str, dict[Any, float]] = {query["Id"]: {} for query in queries}
        arguments: Any = {
            "MetricDataQueries": queries,
            # A minute's point has the minute's first second.
            "StartTime": since.replace(second=0, microsecond=0),
            "EndTime": until,
            "MaxDatapoints": _MAX_DATAPOINTS,
        }
        while True:
            answer = self.client.get_metric_data(**arguments)
            for result in answer["MetricDataResults"]:
                found[result["Id"]].update(zip(result["Timestamps"], result["Values"], strict=True))
            if not answer.get("NextToken"):
                return found
            arguments["NextToken"] = answer["NextToken"]


def _microseconds(gate: Gate) -> int:
    return math.ceil((gate.maximum or 0.0) * 1000)
