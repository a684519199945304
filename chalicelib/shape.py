"""From bytes a stranger sent to a checked value: the shape of every request body.

All shapes are strict (no text for a number), closed (no unknown field) and frozen. What pydantic finds wrong comes out as
`InvalidRequest` with one entry per field: where, what, and what would be right.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from chalicelib.errors import FieldProblem, InvalidRequest, TooLarge

MAX_BODY_BYTES = 1024 * 1024
_MAX_PROBLEMS = 25
_MAX_NAME = 80

# What would be right, by what pydantic calls the fault.
_WORDS = {
    "int_type": "Use a whole number, without quotes.",
    "int_from_float": "Use a whole number.",
    "float_type": "Use a number, without quotes.",
    "string_type": "Use text, in quotes.",
    "bool_type": "Use true or false.",
    "list_type": "Use a list: [value, ...].",
    "dict_type": 'Use an object: {"name": value}.',
}


class Shape(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Nothing(Shape):
    """The body of a request that needs none."""


S = TypeVar("S", bound=Shape)


def read(shape: type[S], body: bytes) -> S:
    """Check a JSON body against its shape.

    Raises:
        TooLarge: more than `MAX_BODY_BYTES`.
        InvalidRequest: not JSON, or not of this shape; names each field.
    """
    if len(body) > MAX_BODY_BYTES:
        cure = f"Send at most {MAX_BODY_BYTES:,} bytes; put large data into an upload."
        raise TooLarge.about(FieldProblem("body", f"has {len(body):,} bytes", cure))
    try:
        value = shape.model_validate_json(body or b"null")
    except ValidationError as error:
        problems = [_problem(shape, entry) for entry in error.errors(include_url=False)[:_MAX_PROBLEMS]]
        raise InvalidRequest.about(*problems) from None
    # pydantic takes the last of two fields of one name, another reader may take the first: nobody can have meant that.
    # What got here nests at most 200 deep, pydantic's own limit, so this cannot overflow the stack.
    json.loads(body, object_pairs_hook=_each_name_once)
    return value


def _each_name_once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidRequest.about(FieldProblem(name[:_MAX_NAME], "is given more than once", "Give it once."))
        seen.add(name)


def _problem(shape: type[BaseModel], error: Any) -> FieldProblem:
    # Names of unknown fields are a stranger's text: an answer does not repeat a megabyte of it.
    path = ".".join(str(part)[:_MAX_NAME] for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return FieldProblem(path or "body", f"is {_shown(error['input'])}", _WORDS[kind])
    match kind:
        case "missing":
            return FieldProblem(path, "is missing", "Add it.")
        case "extra_forbidden":
            allowed = ", ".join(_names_at(shape, error["loc"][:-1]))
            return FieldProblem(
                path, "is not a field of this request", f"Remove it or correct its name; known here: {allowed}."
            )
        case "literal_error" | "enum":
            return FieldProblem(path, f"is {_shown(error['input'])}", f"Use one of {context.get('expected')}.")
        case "json_invalid":
            return FieldProblem(path or "body", "is not valid JSON", f"Correct the syntax: {context.get('error', '')}.")
        case "model_type" | "model_attributes_type":
            return FieldProblem(path or "body", "is not a JSON object", 'Send an object: {"field": value}.')
        case "greater_than_equal":
            return FieldProblem(path, f"is {_shown(error['input'])}", f"Use at least {context['ge']}.")
        case "greater_than":
            return FieldProblem(path, f"is {_shown(error['input'])}", f"Use more than {context['gt']}.")
        case "less_than_equal":
            return FieldProblem(path, f"is {_shown(error['input'])}", f"Use at most {context['le']}.")
        case "string_too_short":
            return FieldProblem(path, "is too short", f"Use at least {context['min_length']} character(s).")
        case "too_short":
            return FieldProblem(path, "has too few elements", f"Use at least {context['min_length']}.")
        case "string_too_long":
            return FieldProblem(path, "is too long", f"Use at most {context['max_length']} characters.")
        case "too_long":
            return FieldProblem(path, "has too many elements", f"Use at most {context['max_length']}.")
        case "string_pattern_mismatch":
            return FieldProblem(path, f"is {_shown(error['input'])}", f"Use text that matches {context['pattern']}.")
        case "value_error":
            message, _, cure = str(context["error"]).partition("|")
            return FieldProblem(path or "body", message.strip(), cure.strip())
    return FieldProblem(path, f"is {_shown(error['input'])}", f"{error['msg']}.")


def _names_at(shape: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Names of the fields that are known at a place inside a shape."""
    current: Any = shape
    for part in path:
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        if field is None:
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((each for each in candidates if isinstance(each, type) and issubclass(each, BaseModel)), None)
    return list(current.model_fields) if current is not None else []


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
