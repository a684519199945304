"""State-change events of models, endpoint configurations and endpoints, as SageMaker puts them on the default bus.

Times are milliseconds; an endpoint's status is written IN_SERVICE where DescribeEndpoint says InService.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from localcloud.compute.host import Host
from localcloud.compute.operations import Document

SOURCE = "aws.sagemaker"
_OF_VARIANT = ("VariantName", "CurrentWeight", "DesiredWeight", "CurrentInstanceCount", "DesiredInstanceCount")
_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")


def model_changed(host: Host, document: Document) -> None:
    request = document["request"]
    detail = {
        "ModelName": document["name"],
        "ModelArn": document["arn"],
        "PrimaryContainer": _without_environment(request.get("PrimaryContainer")),
        "ExecutionRoleArn": request.get("ExecutionRoleArn"),
        "CreationTime": _milliseconds(document["created"]),
        "Tags": document["tags"],
    }
    _record(host, "SageMaker Model State Change", detail, document["arn"])


def endpoint_config_changed(host: Host, document: Document) -> None:
    detail = {
        "EndpointConfigName": document["name"],
        "EndpointConfigArn": document["arn"],
        "ProductionVariants": document["request"]["ProductionVariants"],
        "ShadowProductionVariants": document["request"].get("ShadowProductionVariants"),
        "CreationTime": _milliseconds(document["created"]),
        "Tags": document["tags"],
    }
    _record(host, "SageMaker Endpoint Config State Change", detail, document["arn"])


def endpoint_changed(host: Host, document: Document, variants: Document) -> None:
    detail = {
        "EndpointName": document["name"],
        "EndpointArn": document["arn"],
        "EndpointConfigName": document["config_name"],
        **{
            member: [{name: variant[name] for name in _OF_VARIANT if name in variant} for variant in of_kind]
            for member, of_kind in variants.items()
        },
        "EndpointStatus": _WORD_START.sub("_", document["status"]).upper(),
        "FailureReason": document.get("failure_reason"),
        "CreationTime": _milliseconds(document["created"]),
        "LastModifiedTime": _milliseconds(document["modified"]),
        "Tags": document["tags"],
    }
    _record(host, "SageMaker Endpoint State Change", detail, document["arn"])


def _record(host: Host, detail_type: str, detail: dict[str, Any], arn: str) -> None:
    known = {name: value for name, value in detail.items() if value is not None}
    host.events.record(SOURCE, detail_type, known, [arn], host.now())


def _without_environment(container: Document | None) -> Document | None:
    return None if container is None else {key: value for key, value in container.items() if key != "Environment"}


def _milliseconds(at: datetime) -> float:
    return float(int(at.timestamp() * 1000))
