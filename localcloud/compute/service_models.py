"""botocore's own descriptions of the services, cut down to the operations that are offered here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import botocore.loaders
from botocore.model import OperationModel, ServiceModel

Raw = Mapping[str, Any]


def load_service_model(service: str, operations: Iterable[str]) -> ServiceModel:
    """The model of `service` with these operations and the shapes they reach, without documentation.

    SageMaker's full model has 3,000 shapes; what is kept is a tenth of it.

    Raises:
        KeyError: the service has no such operation.
    """
    raw = botocore.loaders.Loader().load_service_model(service, "service-2")
    kept = {name: raw["operations"][name] for name in operations}
    shapes: dict[str, Any] = {}
    for operation in kept.values():
        references = [operation.get("input"), operation.get("output"), *operation.get("errors", [])]
        for reference in references:
            if reference is not None:
                _reach(raw["shapes"], reference["shape"], shapes)
    model = {"metadata": raw["metadata"], "operations": kept, "shapes": shapes}
    return ServiceModel(_without_documentation(model), service)


def error_status(model: OperationModel, code: str) -> int | None:
    """The HTTP status the model gives to an error of the operation, if it names the error."""
    for shape in model.error_shapes:
        if code in (shape.name, shape.metadata.get("error", {}).get("code")):
            status: int | None = shape.metadata.get("error", {}).get("httpStatusCode")
            return status
    return None


def _reach(shapes: Raw, name: str, found: dict[str, Any]) -> None:
    if name in found:
        return
    shape = shapes[name]
    found[name] = shape
    references = [*shape.get("members", {}).values()] if shape["type"] == "structure" else []
    references += [shape[role] for role in ("member", "key", "value") if role in shape]
    for reference in references:
        _reach(shapes, reference["shape"], found)


def _without_documentation(value: Any) -> Any:
    if isinstance(value, Mapping):
        # A structure may have a member called "documentation"; only the text is dropped.
        return {
            key: _without_documentation(part)
            for key, part in value.items()
            if not (key == "documentation" and isinstance(part, str))
        }
    if isinstance(value, list):
        return [_without_documentation(part) for part in value]
    return value
