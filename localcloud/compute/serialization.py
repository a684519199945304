"""Responses by botocore's model: only modelled members leave, in the protocol's form."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from localcloud.compute.errors import ApiError

JSON_1_1 = "application/x-amz-json-1.1"
JSON = "application/json"
JSON_SERVICES = frozenset({"sagemaker", "service-quotas", "application-autoscaling"})
"""Those that speak JSON 1.1; the others speak REST JSON."""


@dataclass(frozen=True)
class WireResponse:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def response_of(model: OperationModel, document: Mapping[str, Any]) -> WireResponse:
    """The success answer of an operation, for both protocols."""
    shape = model.output_shape
    rest = model.service_model.metadata["protocol"] == "rest-json"
    headers = {"Content-Type": JSON if rest else JSON_1_1}
    status = model.http.get("responseCode", 200)
    if shape is None:
        return WireResponse(status, b"{}" if rest else b"", headers)
    payload = shape.serialization.get("payload")
    body: dict[str, Any] = {}
    for name, member in shape.members.items():
        value = document.get(name)
        if value is None or name == payload:
            continue
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        if location == "header":
            headers[wire_name] = str(value)
        elif location is None:
            body[wire_name] = wire_value(member, value)
    if payload is not None:
        return WireResponse(status, _payload(shape.members[payload], document.get(payload)), headers)
    return WireResponse(status, json.dumps(body, separators=(",", ":")).encode(), headers)


def error_response(service: str, error: ApiError, status: int) -> WireResponse:
    """An error in the service's shape: ``__type`` in JSON 1.1, the ``x-amzn-ErrorType`` header in REST JSON."""
    if service in JSON_SERVICES:
        body = {"__type": error.code, "message": error.message, **error.members}
        return WireResponse(status, json.dumps(body).encode(), {"Content-Type": JSON_1_1})
    message = "Message" if service == "sagemaker-runtime" else "message"
    body = {message: error.message, **error.members}
    return WireResponse(status, json.dumps(body).encode(), {"Content-Type": JSON, "x-amzn-ErrorType": error.code})


def wire_value(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            member.serialization.get("name", name): wire_value(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [wire_value(shape.member, part) for part in value]
    if isinstance(shape, MapShape):
        return {key: wire_value(shape.value, part) for key, part in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _payload(shape: Shape, value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    return json.dumps(wire_value(shape, value), separators=(",", ":")).encode()
