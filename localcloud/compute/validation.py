"""Requests against botocore's model: unknown and required members, types, lengths, ranges, patterns, enums.

The emulator is to be no more lenient than AWS, so every constraint the model states is enforced, and one AWS itself does
not always enforce: members it has never heard of are refused, because they are typing mistakes.

All faults of a request are reported at once, in AWS's wording: ``2 validation errors detected: Value ... at ... failed
to satisfy constraint: ...; Value ...``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from localcloud.compute.errors import ApiError, ValidationFailed

SHOWN_CHARACTERS = 200
SHOWN_ERRORS = 20

_INTEGERS = frozenset({"integer", "long"})
_NUMBERS = frozenset({"float", "double"})
# Java's spellings that Python does not know; the property classes are inside brackets in every pattern but
# \p{ASCII} and the whole \p{Print}+.
_JAVA_SPELLINGS = {
    r"\p{L}": r"\w",
    r"\p{M}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": r"\s",
    r"\p{S}": r"$+<=>^`|~",
    r"\p{P}": r"!-/:-@",
    r"\p{Alnum}": r"a-zA-Z0-9",
    r"\p{Print}+": r"[\x20-\x7e]+",
    r"\p{Print}": r"\x20-\x7e",
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"\z": r"\Z",
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010FFFF",
}


class SerializationFailed(ApiError):
    """A value has the wrong JSON type."""

    def __init__(self, message: str) -> None:
        super().__init__("SerializationException", message)


def parse_request(shape: StructureShape | None, document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with the shape's Python types (datetimes, bytes), every constraint checked.

    Raises:
        SerializationFailed: a value of the wrong type.
        ValidationFailed: anything else the model does not allow.
    """
    if shape is None:
        if document:
            raise ValidationFailed(f"Unknown member '{next(iter(document))}': the operation takes no input")
        return {}
    faults: list[str] = []
    parsed: dict[str, Any] = _structure(shape, document, "", faults)
    if faults:
        listed = "; ".join(faults[:SHOWN_ERRORS])
        noun = "error" if len(faults) == 1 else "errors"
        raise ValidationFailed(f"{len(faults)} validation {noun} detected: {listed}")
    return parsed


def _value(shape: Shape, value: Any, path: str, faults: list[str]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, value, path, faults)
    if isinstance(shape, ListShape):
        return _list(shape, value, path, faults)
    if isinstance(shape, MapShape):
        return _map(shape, value, path, faults)
    return _scalar(shape, value, path, faults)


def _structure(shape: StructureShape, value: Any, path: str, faults: list[str]) -> dict[str, Any]:
    _expect(isinstance(value, Mapping), path, "a structure", value)
    members = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
    parsed: dict[str, Any] = {}
    for wire_name, part in value.items():
        if wire_name not in members:
            known = ", ".join(sorted(members))
            faults.append(f"Unknown member '{_shown(wire_name)}' at '{path or shape.name}': must be one of [{known}]")
        elif part is not None:
            name, member = members[wire_name]
            parsed[name] = _value(member, part, _join(path, name), faults)
    missing = [name for name in shape.required_members if name not in parsed]
    faults += [_failure(None, _join(path, name), "Member must not be null") for name in missing]
    if shape.metadata.get("union") and len(parsed) != 1:
        faults.append(_failure("...", path, "Exactly one member must be set"))
    return parsed


def _list(shape: ListShape, value: Any, path: str, faults: list[str]) -> list[Any]:
    _expect(isinstance(value, Sequence) and not isinstance(value, str | bytes), path, "a list", value)
    _length(shape, value, path, faults)
    return [_value(shape.member, part, f"{path}.{n}.member", faults) for n, part in enumerate(value, start=1)]


def _map(shape: MapShape, value: Any, path: str, faults: list[str]) -> dict[str, Any]:
    _expect(isinstance(value, Mapping), path, "a map", value)
    _length(shape, value, path, faults)
    parsed = {}
    for key, part in value.items():
        _scalar(shape.key, key, path, faults)
        parsed[key] = _value(shape.value, part, f"{path}.{_shown(key)}.member", faults)
    return parsed


def _scalar(shape: Shape, value: Any, path: str, faults: list[str]) -> Any:
    kind = shape.type_name
    if kind == "string":
        return _string(shape, value, path, faults)
    if kind in _INTEGERS:
        _expect(isinstance(value, int) and not isinstance(value, bool), path, "an integer", value)
        return _range(shape, value, path, faults)
    if kind in _NUMBERS:
        _expect(isinstance(value, int | float) and not isinstance(value, bool), path, "a number", value)
        return _range(shape, float(value), path, faults)
    if kind == "boolean":
        _expect(isinstance(value, bool), path, "a boolean", value)
        return value
    if kind == "timestamp":
        return _timestamp(value, path)
    return _blob(shape, value, path, faults)


def _string(shape: Shape, value: Any, path: str, faults: list[str]) -> str:
    _expect(isinstance(value, str), path, "a string", value)
    text: str = value
    if not _length(shape, text, path, faults):
        # A text of the wrong length is not matched as well: patterns repeat the length, and some are slow on long texts.
        return text
    allowed = shape.metadata.get("enum")
    if allowed and text not in allowed:
        faults.append(_failure(text, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]"))
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(text):
        faults.append(_failure(text, path, f"Member must satisfy regular expression pattern: {pattern}"))
    return text


def _timestamp(value: Any, path: str) -> datetime:
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            _expect(False, path, "a timestamp", value)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    _expect(isinstance(value, int | float) and not isinstance(value, bool), path, "a timestamp", value)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise SerializationFailed(f"{value} at '{path}' is not a timestamp in the supported range") from error


def _blob(shape: Shape, value: Any, path: str, faults: list[str]) -> bytes:
    if isinstance(value, bytes):
        # The HTTP body itself, which was read up to its operation's limit; for InvokeEndpoint the model still says 6 MB,
        # where SageMaker takes 25.
        return value
    _expect(isinstance(value, str), path, "base64 text", value)
    try:
        data = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise SerializationFailed(f"the value at '{path}' is not base64") from error
    _length(shape, data, path, faults)
    return data


def _length(shape: Shape, value: Any, path: str, faults: list[str]) -> bool:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        faults.append(_failure(value, path, f"Member must have length greater than or equal to {least}"))
        return False
    if most is not None and len(value) > most:
        faults.append(_failure(value, path, f"Member must have length less than or equal to {most}"))
        return False
    return True


def _range(shape: Shape, value: Any, path: str, faults: list[str]) -> Any:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        faults.append(_failure(value, path, f"Member must have value greater than or equal to {least}"))
    if most is not None and value > most:
        faults.append(_failure(value, path, f"Member must have value less than or equal to {most}"))
    return value


def _expect(holds: bool, path: str, wanted: str, value: Any) -> None:
    if not holds:
        raise SerializationFailed(f"{type(value).__name__} found at '{path or 'request'}' where {wanted} is expected")


def _failure(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _join(path: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{path}.{lower}" if path else lower


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """The model's pattern (Java's dialect) in Python's: the Unicode classes differ, the rest is the same."""
    for java, python in _JAVA_SPELLINGS.items():
        pattern = pattern.replace(java, python)
    return re.compile(pattern)
