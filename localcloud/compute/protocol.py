"""From an HTTP request to an operation and its members: AWS JSON 1.1 and REST JSON, both read from botocore's model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.model import OperationModel, ServiceModel, Shape

from localcloud.compute.errors import ApiError
from localcloud.compute.validation import SerializationFailed, parse_request

TARGET_HEADER = "x-amz-target"


class UnknownOperation(ApiError):
    def __init__(self, wanted: str) -> None:
        super().__init__("UnknownOperationException", f"The compute emulator has no operation {wanted}", 404)


@dataclass(frozen=True)
class Target:
    """The operation a request names, and what its path holds."""

    service: str
    model: OperationModel
    labels: Mapping[str, str]


@dataclass(frozen=True)
class _RestRoute:
    method: str
    pattern: re.Pattern[str]
    target_service: str
    model: OperationModel


class Router:
    """Finds the operation of a request among the given services."""

    def __init__(self, models: Mapping[str, ServiceModel]) -> None:
        self._targets: dict[str, tuple[str, OperationModel]] = {}
        self._routes: list[_RestRoute] = []
        for service, model in models.items():
            for name in model.operation_names:
                operation = model.operation_model(name)
                if model.metadata["protocol"] == "json":
                    self._targets[f"{model.metadata['targetPrefix']}.{name}"] = (service, operation)
                else:
                    pattern = _path_pattern(operation.http["requestUri"])
                    self._routes.append(_RestRoute(operation.http["method"], pattern, service, operation))

    def find(self, method: str, raw_path: str, target: str | None) -> Target:
        """`raw_path` is still percent-encoded, so that an encoded slash stays inside its label.

        Raises:
            UnknownOperation: nothing here answers that.
        """
        if target is not None:
            found = self._targets.get(target)
            if found is None:
                raise UnknownOperation(target[:100])
            return Target(found[0], found[1], {})
        for route in self._routes:
            match = route.pattern.fullmatch(raw_path)
            if match and route.method == method:
                labels = {name: unquote(value) for name, value in match.groupdict().items()}
                return Target(route.target_service, route.model, labels)
        raise UnknownOperation(f"{method} {raw_path[:100]}")


def members_of(target: Target, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The validated members of a request, wherever in it they lie.

    Raises:
        SerializationFailed: the body is no JSON object, or a value has the wrong type.
        ValidationFailed: the model does not allow it.
    """
    shape = target.model.input_shape
    if shape is None or target.model.service_model.metadata["protocol"] == "json":
        return parse_request(shape, _json_object(body))
    payload = shape.serialization.get("payload")
    document: dict[str, Any] = {payload: body} if payload else _json_object(body)
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        if location is not None:
            document.pop(wire_name, None)
        text = _located(location, wire_name, target.labels, parameters, headers)
        if text is not None:
            document[wire_name] = _from_text(member, text)
    return parse_request(shape, document)


def _located(
    location: str | None, name: str, labels: Mapping[str, str], query: Mapping[str, str], headers: Mapping[str, str]
) -> str | None:
    if location == "uri":
        return labels.get(name)
    if location == "querystring":
        return query.get(name)
    if location == "header":
        return headers.get(name.lower())
    return None


def _from_text(shape: Shape, text: str) -> Any:
    """Headers, labels and query parameters are text; numbers and booleans among them are said so by the model."""
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name in ("float", "double"):
            return float(text)
    except ValueError as error:
        raise SerializationFailed(f"'{text[:100]}' is not a number ({shape.name})") from error
    if shape.type_name == "boolean":
        return text.lower() == "true"
    if shape.type_name == "list":
        return text.split(",")
    return text


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SerializationFailed("the body is not valid JSON") from error
    if not isinstance(document, dict):
        raise SerializationFailed("the body is not a JSON object")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _path_pattern(template: str) -> re.Pattern[str]:
    """``/endpoints/{EndpointName}/invocations`` as a pattern; ``{name+}`` takes slashes too."""
    parts = re.split(r"(\{[^}]+\})", template.partition("?")[0])
    pattern = ""
    for part in parts:
        if part.startswith("{"):
            name = part[1:-1]
            pattern += f"(?P<{name.rstrip('+')}>{'.+' if name.endswith('+') else '[^/]+'})"
        else:
            pattern += re.escape(part)
    return re.compile(pattern)
