"""What the simulated AWS account allows, and the Service Quotas API that tells it.

`PUT /_compute/limits` changes it while the emulator runs:
`{"instances": {"ml.p3.2xlarge": 2}, "endpoints": {"ml.m5.large": 4, "serverless": 10}, "vcpus": {"L-417A185B": 64}}`.
CreateTrainingJob, and whatever brings instances to an endpoint, keep to the same numbers. The names of the quotas are AWS's,
and so are the codes of EC2's; SageMaker's codes are made up here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.loaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from localcloud.compute.errors import ApiError, ResourceLimitExceeded, ValidationFailed
from localcloud.compute.operations import Authorization, Call, Document, Operation
from localcloud.compute.paging import page_of
from localcloud.compute.settings import Settings

SERVICE = "service-quotas"
MAX_LIMIT = 1_000_000
_PAGE = 100
_BODY_BYTES = 256 * 1024

# What a new account has of EC2; the codes are AWS's own.
_EC2 = {
    "L-417A185B": "Running On-Demand P instances",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
}
_VCPUS = 1152
_GIVEN = ("instances", "endpoints", "vcpus")
SERVERLESS = "serverless"
_SERVERLESS_QUOTA = "Maximum total concurrency that can be allocated across all serverless endpoints"
_SERVERLESS_CONCURRENCY = 1000  # us-east-1: https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html


@dataclass(frozen=True)
class Quota:
    """One limit of the account, under AWS's name for it."""

    name: str
    limit: int
    unit: str = "Instances"

    def check(self, used: int, asked: int) -> None:
        """
        Raises:
            ResourceLimitExceeded: it would be passed; in SageMaker's words.
        """
        if used + asked > self.limit:
            unit = self.unit
            raise ResourceLimitExceeded(
                f"The account-level service limit '{self.name}' is {self.limit} {unit}, with current utilization of "
                f"{used} {unit} and a request delta of {asked} {unit}. Please use AWS Service Quotas to request an "
                f"increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
                f"increase for this quota."
            )


@dataclass
class AccountLimits:
    """Instances of training jobs by type, instances of endpoints by type, and EC2's vCPUs by quota code.

    Attributes:
        endpoints: under `serverless` the requests at once of all serverless endpoints together.
    """

    default_instances: int
    instances: dict[str, int] = field(default_factory=dict)
    vcpus: dict[str, int] = field(default_factory=dict)
    endpoints: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> AccountLimits:
        return cls(settings.default_instance_limit, dict(settings.instance_limits), dict.fromkeys(_EC2, _VCPUS))

    def of_training(self, instance_type: str) -> Quota:
        limit = self.instances.get(instance_type, self.default_instances)
        return Quota(f"{instance_type} for training job usage", limit)

    def of_endpoints(self, instance_type: str) -> Quota:
        """
        Args:
            instance_type: or `serverless`.
        """
        if instance_type == SERVERLESS:
            return Quota(_SERVERLESS_QUOTA, self.endpoints.get(SERVERLESS, _SERVERLESS_CONCURRENCY), "None")
        limit = self.endpoints.get(instance_type, self.default_instances)
        return Quota(f"{instance_type} for endpoint usage", limit)

    def change(self, document: Mapping[str, Any]) -> None:
        """
        Raises:
            ValidationFailed: an unknown name, or a limit out of range; nothing is changed.
        """
        unknown = set(document) - set(_GIVEN)
        given = [document.get(name, {}) for name in _GIVEN]
        if unknown or not all(isinstance(each, dict) for each in given):
            shown = '{"instances": {type: count}, "endpoints": {type: count}, "vcpus": {quota code: count}}'
            raise ValidationFailed(f"limits are {shown}")
        instances, endpoints, vcpus = given
        for name, value in [item for each in given for item in each.items()]:
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_LIMIT:
                raise ValidationFailed(f"{name}: must be an integer from 0 to {MAX_LIMIT}")
        if unknown := set(vcpus) - set(_EC2):
            raise ValidationFailed(f"vcpus: {min(unknown)} is none of {', '.join(_EC2)}")
        self.instances |= instances
        self.endpoints |= endpoints
        self.vcpus |= vcpus

    def document(self) -> dict[str, Any]:
        return {"default_instances": self.default_instances, **{name: getattr(self, name) for name in _GIVEN}}


class AccountPart:
    """ListServiceQuotas and GetServiceQuota for `sagemaker` and `ec2`."""

    def __init__(self, settings: Settings, limits: AccountLimits) -> None:
        self._settings = settings
        self._limits = limits

    def operations(self) -> Sequence[Operation]:
        return [
            Operation(SERVICE, "ListServiceQuotas", self.list_quotas, _may("ListServiceQuotas")),
            Operation(SERVICE, "GetServiceQuota", self.get_quota, _may("GetServiceQuota")),
        ]

    def routes(self) -> Sequence[BaseRoute]:
        return [Route("/_compute/limits", self.limits, methods=["GET", "PUT"])]

    async def start(self) -> None:
        """Nothing to take up."""

    async def stop(self) -> None:
        """Nothing to end."""

    async def list_quotas(self, call: Call) -> Document:
        found = self._quotas(call.params["ServiceCode"])
        if code := call.params.get("QuotaCode"):
            found = [each for each in found if each["QuotaCode"] == code]
        try:
            page, token = page_of(found, call.params.get("NextToken"), call.params.get("MaxResults", _PAGE))
        except ValidationFailed as error:
            raise ApiError("InvalidPaginationTokenException", error.message) from error
        return {"Quotas": list(page), "NextToken": token}

    async def get_quota(self, call: Call) -> Document:
        code = call.params["QuotaCode"]
        for quota in self._quotas(call.params["ServiceCode"]):
            if quota["QuotaCode"] == code:
                return {"Quota": quota}
        raise ApiError("NoSuchResourceException", f"The request failed because the quota {code} does not exist.")

    async def limits(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._limits.change(await _object(request))
            except ApiError as error:
                return JSONResponse({"code": error.code, "message": error.message}, error.status)
        return JSONResponse(self._limits.document())

    def _quotas(self, service: str) -> list[Document]:
        match service:
            case "sagemaker":
                return [
                    self._quota(service, _made_up(name), name, value) for name, value in self._of_sagemaker().items()
                ]
            case "ec2":
                return [self._quota(service, code, name, self._limits.vcpus[code]) for code, name in _EC2.items()]
        raise ApiError("NoSuchResourceException", f"The request failed because the service {service} does not exist.")

    def _of_sagemaker(self) -> dict[str, int]:
        limits = self._limits
        training = [limits.of_training(each) for each in _types("TrainingInstanceType")]
        spot = [Quota(each.name.replace(" for training", " for spot training"), 0) for each in training]
        endpoints = [limits.of_endpoints(each) for each in (*_types("ProductionVariantInstanceType"), SERVERLESS)]
        return {quota.name: quota.limit for quota in (*training, *spot, *endpoints)}

    def _quota(self, service: str, code: str, name: str, value: int) -> Document:
        settings = self._settings
        return {
            "ServiceCode": service,
            "ServiceName": {"sagemaker": "Amazon SageMaker", "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)"}[
                service
            ],
            "QuotaArn": f"arn:aws:servicequotas:{settings.region}:{settings.account}:{service}/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": float(value),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
            "QuotaAppliedAtLevel": "ACCOUNT",
        }


@cache
def _types(shape: str) -> list[str]:
    """Every instance type that SageMaker's own model knows for a use."""
    model = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    return sorted(model["shapes"][shape]["enum"])


def _made_up(name: str) -> str:
    return f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"


def _may(operation: str) -> Any:
    def authorization(_params: Document) -> Authorization:
        return Authorization(f"servicequotas:{operation}")

    return authorization


async def _object(request: Request) -> Mapping[str, Any]:
    size, chunks = 0, []
    async for chunk in request.stream():
        size += len(chunk)
        if size > _BODY_BYTES:
            raise ValidationFailed(f"the body is larger than {_BODY_BYTES} bytes")
        chunks.append(chunk)
    try:
        document = json.loads(b"".join(chunks))
    except (ValueError, RecursionError) as error:
        raise ValidationFailed("the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise ValidationFailed("the body is not a JSON object")
    return document
