"""The one logger: structured lines, one JSON object each; and metrics, which are lines of another form."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger(service="aimatrix", utc=True)

NAMESPACE = "Aimatrix"


def metric(name: str, value: float, stack: str) -> None:
    """Record a count in CloudWatch, as a line in its embedded metric format."""
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(
        name=name, unit=MetricUnit.Count, value=value, namespace=NAMESPACE, default_dimensions={"Stack": stack}
    ):
        pass
