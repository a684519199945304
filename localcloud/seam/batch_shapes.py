"""Batch's member names, in the two spellings AWS uses: `jobName` on the wire, `JobName` in templates and state machines.

botocore's own service model says which keys are names of members and which are the user's words, such as a tag's.
"""

from __future__ import annotations

import functools
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape


@functools.cache
def _model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("batch", "service-2"))


def from_machine(action: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A state machine's arguments as the action's request spells them; what is unknown or of a wrong type stays so."""
    request: dict[str, Any] = _to_wire(arguments, _model().operation_model(action).input_shape, from_template=False)
    return request


def from_template(action: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A template's properties as the action's request spells them.

    A type has properties that only its update uses: what the request does not have is left out. A parameter's value is
    always a string: CloudFormation gives it the type that the property has.
    """
    request: dict[str, Any] = _to_wire(properties, _model().operation_model(action).input_shape, from_template=True)
    return request


def from_response(action: str, document: dict[str, Any]) -> dict[str, Any]:
    """An action's answer as a state machine sees it."""
    answer: dict[str, Any] = _from_wire(document, _model().operation_model(action).output_shape)
    return answer


def from_job(document: dict[str, Any]) -> dict[str, Any]:
    """One job of DescribeJobs' answer as a state machine sees it."""
    described: dict[str, Any] = _from_wire(document, _model().shape_for("JobDetail"))
    return described


def _to_wire(value: Any, shape: Shape | None, *, from_template: bool) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        names: dict[str, str] = {name.lower(): name for name in shape.members}
        spelled = [(names.get(str(key).lower(), str(key)), content) for key, content in value.items()]
        return {
            name: _to_wire(content, shape.members.get(name), from_template=from_template)
            for name, content in spelled
            if name in shape.members or not from_template
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_to_wire(member, shape.member, from_template=from_template) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _to_wire(content, shape.value, from_template=from_template) for key, content in value.items()}
    if from_template and shape is not None and isinstance(value, str):
        return _typed(value, shape)
    return value


def _typed(text: str, shape: Shape) -> str | int | float | bool:
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name in ("float", "double"):
        return float(text)
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return text


def _from_wire(value: Any, shape: Shape | None) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            key[:1].upper() + key[1:]: _from_wire(content, shape.members.get(key)) for key, content in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_wire(member, shape.member) for member in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_wire(content, shape.value) for key, content in value.items()}
    return value
