"""Items in DynamoDB's own form as lines of JSON, and back: binary values are base64 there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from backup.belongings import Stored
from backup.errors import Refused
from backup.layout import Line


def to_line(item: Stored) -> Line:
    return {name: _written(value) for name, value in item.items()}


def from_line(line: Line) -> Stored:
    """
    Raises:
        Refused: the line is no item.
    """
    try:
        item = {name: _read(value) for name, value in line.items()}
        if not (item["pk"]["S"] and item["sk"]["S"]):
            raise Refused("the export has a record without a key")
    except (TypeError, KeyError, ValueError, AttributeError):
        raise Refused("the export has a record that is no item of DynamoDB's") from None
    return item


def _written(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            return {kind: base64.b64encode(bytes(content)).decode()}
        case "BS":
            return {kind: sorted(base64.b64encode(bytes(each)).decode() for each in content)}
        case "N":
            return {kind: _plain(content)}
        case "NS":
            return {kind: sorted(map(_plain, content))}
        case "SS":
            return {kind: sorted(content)}
        case "M":
            return {kind: {name: _written(each) for name, each in content.items()}}
        case "L":
            return {kind: [_written(each) for each in content]}
    return {kind: content}


def _plain(number: str) -> str:
    """Without zeros that say nothing, as DynamoDB gives numbers back; the embedded one keeps those of a sum."""
    return number.rstrip("0").rstrip(".") if "." in number and "e" not in number.lower() else number


def _read(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(content, validate=True)}
        case "BS":
            return {kind: [base64.b64decode(each, validate=True) for each in content]}
        case "M":
            return {kind: {name: _read(each) for name, each in content.items()}}
        case "L":
            return {kind: [_read(each) for each in content]}
    return {kind: content}
