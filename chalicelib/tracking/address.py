"""Where MLflow's REST API is, and what a request to it must carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# As the sagemaker-mlflow plugin addresses a managed server: one host per region, the server named by a header,
# requests signed for this service. https://github.com/aws/sagemaker-mlflow
SIGNING_SERVICE = "sagemaker-mlflow"
SERVER_HEADER = "x-mlflow-sm-tracking-server-arn"

_ARN = re.compile(
    r"arn:(?P<partition>aws|aws-us-gov):sagemaker:(?P<region>[a-z0-9-]+):\d{12}:(?:mlflow-tracking-server|mlflow-app)/[\w.-]+"
)


@dataclass(frozen=True)
class TrackingAddress:
    """
    Attributes:
        base: the address that `/api/2.0/mlflow/...` is appended to.
        headers: sent with every request.
        signing_region: requests are signed (SigV4) for this region; None where the server takes unsigned ones.
    """

    base: str
    headers: Mapping[str, str] = field(default_factory=dict)
    signing_region: str | None = None

    @classmethod
    def parse(cls, tracking_uri: str) -> TrackingAddress:
        """
        Raises:
            ValueError: neither an http(s) address nor the ARN of a managed tracking server.
        """
        if found := _ARN.fullmatch(tracking_uri):
            region = found["region"]
            return cls(f"https://{region}.experiments.sagemaker.aws", {SERVER_HEADER: tracking_uri}, region)
        if tracking_uri.startswith(("http://", "https://")):
            return cls(tracking_uri.rstrip("/"))
        raise ValueError(
            f"{tracking_uri!r} is neither an http(s) address nor the ARN of a SageMaker-managed MLflow tracking server"
        )
