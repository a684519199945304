"""From a SubmitJob request and a job definition to a job's record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from localcloud.compute.batch.names import ClientFault
from localcloud.compute.batch.record import SUBMITTED, BatchRecord, milliseconds
from localcloud.compute.batch.requests import check_name, check_requirements, check_retry_and_timeout

Request = Mapping[str, Any]
PARAMETER = "Ref::"
_UNSUPPORTED = ("arrayProperties", "nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride")


def check_submission(request: Request) -> None:
    check_name("jobName", request["jobName"])
    for member in _UNSUPPORTED:
        if member in request:
            raise ClientFault(f"{member} is not supported by this emulator")
    check_retry_and_timeout(request)
    check_requirements(request.get("containerOverrides", {}))


def new_record(
    request: Request, definition: Request, queue_arn: str, arn: str, job_id: str, now: datetime
) -> BatchRecord:
    """The job as it is when SubmitJob answers."""
    parameters = {**definition.get("parameters", {}), **request.get("parameters", {})}
    tags = dict(request.get("tags", {}))
    if request.get("propagateTags", definition.get("propagateTags", False)):
        tags = {**definition.get("tags", {}), **tags}
    timeout = request.get("timeout", definition.get("timeout"))
    retries = {"attempts": 1, **definition.get("retryStrategy", {}), **request.get("retryStrategy", {})}
    detail = {
        "jobArn": arn,
        "jobName": request["jobName"],
        "jobId": job_id,
        "jobQueue": queue_arn,
        "status": SUBMITTED,
        "attempts": [],
        "createdAt": milliseconds(now),
        "retryStrategy": retries,
        "dependsOn": request.get("dependsOn", []),
        "jobDefinition": definition["jobDefinitionArn"],
        "parameters": parameters,
        "container": container_of(definition["containerProperties"], request.get("containerOverrides", {}), parameters),
        "tags": tags,
        "platformCapabilities": definition.get("platformCapabilities", ["EC2"]),
        "isCancelled": False,
        "isTerminated": False,
    }
    if timeout is not None:
        detail["timeout"] = timeout
    if "shareIdentifier" in request:
        detail["shareIdentifier"] = request["shareIdentifier"]
        priority = request.get("schedulingPriorityOverride", definition.get("schedulingPriority", 0))
        detail["schedulingPriority"] = priority
    return BatchRecord({"detail": detail})


def container_of(properties: Request, overrides: Request, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The definition's container with the request's changes: lists are merged by name or type, the command is replaced."""
    container = dict(properties)
    container["command"] = substituted(overrides.get("command", properties.get("command", [])), parameters)
    container["environment"] = _merged(properties, overrides, "environment", "name")
    container["resourceRequirements"] = _merged(properties, overrides, "resourceRequirements", "type")
    for member in ("vcpus", "memory", "instanceType"):
        if member in overrides:
            container[member] = overrides[member]
    return container


def substituted(command: list[str], parameters: Mapping[str, str]) -> list[str]:
    """``Ref::name`` words become the parameter's value; words without a parameter stay."""
    return [
        parameters.get(word.removeprefix(PARAMETER), word) if word.startswith(PARAMETER) else word for word in command
    ]


def _merged(properties: Request, overrides: Request, member: str, key: str) -> list[dict[str, str]]:
    entries = {entry[key]: entry for entry in [*properties.get(member, []), *overrides.get(member, [])]}
    return list(entries.values())
