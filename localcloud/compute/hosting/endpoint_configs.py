"""CreateEndpointConfig, DescribeEndpointConfig, DeleteEndpointConfig, ListEndpointConfigs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localcloud.compute.errors import ValidationFailed
from localcloud.compute.host import Host
from localcloud.compute.hosting.arns import ENDPOINT_CONFIG, not_here
from localcloud.compute.hosting.events import endpoint_config_changed
from localcloud.compute.hosting.models import Models
from localcloud.compute.hosting.records import Records, tags_from
from localcloud.compute.operations import Authorization, Call, Document, Operation

_NOT_HERE = {
    "AsyncInferenceConfig": "Asynchronous inference",
    "DataCaptureConfig": "Data capture",
    "ExplainerConfig": "An online explainer",
    "ExecutionRoleArn": "An endpoint configuration for inference components (ExecutionRoleArn)",
}


class EndpointConfigs:
    def __init__(self, host: Host, models: Models) -> None:
        self._host = host
        self._models = models
        self.records = Records(host, ENDPOINT_CONFIG)

    def operations(self) -> Sequence[Operation]:
        may_list = Authorization("sagemaker:ListEndpointConfigs")
        return [
            Operation("sagemaker", "CreateEndpointConfig", self.create, self._may("CreateEndpointConfig")),
            Operation("sagemaker", "DescribeEndpointConfig", self.describe, self._may("DescribeEndpointConfig")),
            Operation("sagemaker", "DeleteEndpointConfig", self.delete, self._may("DeleteEndpointConfig")),
            Operation("sagemaker", "ListEndpointConfigs", self.list_configs, lambda _: may_list),
        ]

    async def create(self, call: Call) -> Document:
        params, now = call.params, self._host.now()
        name = params["EndpointConfigName"]
        self._check(params)
        arn = self.records.arn(name)
        document = {"name": name, "arn": arn, "created": now, "modified": now, "tags": tags_from(params)}
        document["request"] = {key: value for key, value in params.items() if key != "Tags"}
        self.records.insert(name, document)
        endpoint_config_changed(self._host, document)
        return {"EndpointConfigArn": arn}

    async def describe(self, call: Call) -> Document:
        document = self.records.get(call.params["EndpointConfigName"])
        return {"EndpointConfigArn": document["arn"], "CreationTime": document["created"], **document["request"]}

    async def delete(self, call: Call) -> Document:
        document = self.records.get(call.params["EndpointConfigName"])
        self.records.delete(document["name"])
        endpoint_config_changed(self._host, document)
        return {}

    async def list_configs(self, call: Call) -> Document:
        page, token = self.records.page(call.params)
        shown = [
            {"EndpointConfigName": d["name"], "EndpointConfigArn": d["arn"], "CreationTime": d["created"]} for d in page
        ]
        return {"EndpointConfigs": shown, "NextToken": token}

    def _check(self, params: Document) -> None:
        for member, what in _NOT_HERE.items():
            if params.get(member):
                raise not_here(what)
        production, shadows = params["ProductionVariants"], params.get("ShadowProductionVariants", [])
        names = [variant["VariantName"] for variant in (*production, *shadows)]
        if len(set(names)) != len(names):
            raise ValidationFailed("Duplicate variant names found in ProductionVariants.")
        for variant in (*production, *shadows):
            self._check_variant(variant)
        if len(names) > 1 and any("ServerlessConfig" in variant for variant in (*production, *shadows)):
            raise ValidationFailed("A serverless endpoint can have only one production variant.")
        if shadows and (len(production), len(shadows)) != (1, 1):
            # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpointConfig.html
            raise ValidationFailed(
                "With ShadowProductionVariants an endpoint configuration has one production variant and one shadow variant."
            )

    def _check_variant(self, variant: Document) -> None:
        if "ModelName" not in variant:
            raise not_here("A variant without ModelName (inference components)")
        self._models.records.get(variant["ModelName"])
        if "ServerlessConfig" in variant:
            return
        missing = [member for member in ("InstanceType", "InitialInstanceCount") if member not in variant]
        if missing:
            raise ValidationFailed(f"{missing[0]} is missing for production variant {variant['VariantName']}.")

    def _may(self, operation: str) -> Callable[[Document], Authorization]:
        return lambda params: Authorization(f"sagemaker:{operation}", (self.records.arn(params["EndpointConfigName"]),))
