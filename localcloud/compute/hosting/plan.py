"""What is to run for a variant: taken from its model and configuration once, so that deleting those changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.hosting.models import container_of, model_data_url
from localcloud.compute.operations import Document


@dataclass(frozen=True)
class VariantPlan:
    """One variant. `weight` and `count` are what is wanted now; they begin as the configuration says.

    `serverless` is its ServerlessConfig: it has a process while it is used, and none while it is not. `shadow`: it gets
    copies of the production variant's requests, as large a part of them as its weight is of that one's, and answers nobody.
    """

    name: str
    model_name: str
    image: str
    model_data_url: str
    role_arn: str
    environment: dict[str, str]
    weight: float
    count: int
    startup_timeout: float | None
    download_timeout: float | None
    instance_type: str = ""
    serverless: Document | None = None
    shadow: bool = False

    @classmethod
    def of(cls, variant: Document, model: Document, *, shadow: bool = False) -> VariantPlan:
        request = model["request"]
        container = container_of(request)
        return cls(
            name=variant["VariantName"],
            model_name=variant["ModelName"],
            image=container["Image"],
            model_data_url=model_data_url(container),
            role_arn=request["ExecutionRoleArn"],
            environment=dict(container.get("Environment", {})),
            weight=float(variant.get("InitialVariantWeight", 1.0)),
            count=int(variant.get("InitialInstanceCount", 1)),
            startup_timeout=variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
            download_timeout=variant.get("ModelDataDownloadTimeoutInSeconds"),
            instance_type=variant.get("InstanceType", ""),
            serverless=variant.get("ServerlessConfig"),
            shadow=shadow,
        )

    @classmethod
    def from_document(cls, document: Document) -> VariantPlan:
        return cls(**document)

    def document(self) -> Document:
        return asdict(self)

    def changed(self, weight: float | None, count: int | None) -> VariantPlan:
        """The same with another weight or count, where one is given.

        Raises:
            ValidationFailed: no instance would be left.
        """
        if count is not None and count < 1:
            raise ValidationFailed(f"DesiredInstanceCount of production variant {self.name} must be at least 1.")
        return replace(
            self, weight=self.weight if weight is None else float(weight), count=self.count if count is None else count
        )
