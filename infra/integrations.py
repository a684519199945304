"""Every call that a state machine makes, against botocore's own model of the service.

A wrong action, a misspelt or missing member, or a literal of the wrong type would otherwise show at the first execution.
What is computed at run time, between `{% %}`, has its names checked and not its types.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from infra.asl import Definition, State, expression, states
from infra.machines import FUNCTIONS_OF
from infra.names import function

_RESOURCE = re.compile(r"arn:aws:states:::(?P<sdk>aws-sdk:)?(?P<service>\w+):(?P<action>\w+)(?P<pattern>\.\w+)?$")
_SUBSTITUTION = re.compile(r"\$\{(\w+)\}")
# Keys of the objects that an expression constructs: {'Name': ..., 'Value': ...}
_CONSTRUCTED = re.compile(r"'(\w+)'\s*:")

# The optimized integrations we use, and the patterns Step Functions offers for them.
_OPTIMIZED = {
    ("lambda", "invoke"): {"", ".waitForTaskToken"},
    ("sagemaker", "createTrainingJob"): {"", ".sync"},
    ("sagemaker", "createTransformJob"): {"", ".sync"},
    ("sagemaker", "createModel"): {""},
    ("sagemaker", "createEndpointConfig"): {""},
    ("sagemaker", "createEndpoint"): {""},
    ("sagemaker", "updateEndpoint"): {""},
    ("batch", "submitJob"): {"", ".sync"},
}
_LITERALS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "double": (int, float),
    "float": (int, float),
}


@dataclass(frozen=True)
class Call:
    """What a task calls: `sagemaker` `CreateTrainingJob`, how it waits (`.sync`, or nothing), and with what."""

    service: str
    operation: str
    pattern: str
    is_sdk: bool
    arguments: Any


def call_of(state: State) -> Call | None:
    """The call behind a task's resource; None when the resource is not a service integration."""
    found = _RESOURCE.match(state.resource)
    if found is None:
        return None
    operation = found["action"][0].upper() + found["action"][1:]
    return Call(found["service"], operation, found["pattern"] or "", bool(found["sdk"]), state.body.get("Arguments"))


def problems(machine: str, definition: Definition) -> list[str]:
    """Everything wrong with the calls of one machine."""
    found = []
    for state in states(definition):
        if state.kind == "Task":
            found += [f"{machine}.{state.name}: {problem}" for problem in _problems(machine, state)]
    return found


def argument_names(definition: Definition, state: str) -> set[str]:
    """The members that a state passes on at the top: what a planner's request may consist of."""
    body = next(found.body for found in states(definition) if found.name == state)
    return set(body["Arguments"])


def _problems(machine: str, state: State) -> Iterator[str]:
    call = call_of(state)
    if call is None:
        yield f"{state.resource} is no service integration"
        return
    action = call.operation[0].lower() + call.operation[1:]
    if not call.is_sdk and call.pattern not in _OPTIMIZED.get((call.service, action), set()):
        yield f"{state.resource} is no optimized integration that we know"
        return
    model = _model(call.service)
    if model is None or call.operation not in model.operation_names:
        yield f"{call.service} has no operation {call.operation}"
        return
    shape = model.operation_model(call.operation).input_shape
    if shape is None:
        yield f"{call.operation} takes no arguments"
        return
    yield from _compare(call.arguments, shape, "Arguments", call.service)
    if call.service == "lambda":
        yield from _callee(machine, call.arguments)


def _callee(machine: str, arguments: Any) -> Iterator[str]:
    allowed = {function(name).logical_id for name in FUNCTIONS_OF[machine]}
    found = _SUBSTITUTION.fullmatch(str(arguments.get("FunctionName")))
    if found is None or found[1] not in allowed:
        yield f"FunctionName is {arguments.get('FunctionName')}, which this machine may not call"


def _compare(value: Any, shape: Shape, where: str, service: str) -> Iterator[str]:
    computed = expression(value)
    if computed is not None:
        yield from _constructed(computed, shape, where)
        return
    if isinstance(shape, StructureShape):
        yield from _structure(value, shape, where, service)
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _compare(entry, shape.member, f"{where}[{index}]", service)
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for name, entry in value.items():
            yield from _compare(entry, shape.value, f"{where}.{name}", service)
    elif shape.type_name != "blob":  # Lambda's payload is a blob: any document
        yield from _literal(value, shape, where)


def _structure(value: Any, shape: StructureShape, where: str, service: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is {value!r}, not an object"
        return
    members = {_capitalised(name): member for name, member in shape.members.items()}
    for name, entry in value.items():
        if name not in members:
            yield f"{where} has no member {name}; {service} knows {', '.join(sorted(members))}"
        else:
            yield from _compare(entry, members[name], f"{where}.{name}", service)
    for name in sorted({_capitalised(name) for name in shape.required_members} - value.keys()):
        yield f"{where} lacks {name}"


def _constructed(computed: str, shape: Shape, where: str) -> Iterator[str]:
    keys = set(_CONSTRUCTED.findall(computed))
    element = shape.member if isinstance(shape, ListShape) else shape
    if keys and isinstance(element, StructureShape):
        for name in sorted(keys - {_capitalised(name) for name in element.members}):
            yield f"{where} constructs {name}, which does not exist"


def _literal(value: Any, shape: Shape, where: str) -> Iterator[str]:
    kind = shape.type_name
    expected = _LITERALS.get(kind)
    if expected is None or not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{where} is {value!r}, not a {kind}"
        return
    options = getattr(shape, "enum", [])
    if options and value not in options:
        yield f"{where} is {value!r}, not one of {', '.join(options)}"


def _capitalised(name: str) -> str:
    """Step Functions writes every member with a capital, also where the service's own API does not."""
    return name[0].upper() + name[1:]


@cache
def _model(service: str) -> ServiceModel | None:
    loader = Loader()
    if service not in loader.list_available_services("service-2"):
        return None
    return ServiceModel(loader.load_service_model(service, "service-2"), service)
