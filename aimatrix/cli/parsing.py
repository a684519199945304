"""From the words of the command line to values. Each function names the option in what it raises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from aimatrix.client import SecretReference

T = TypeVar("T")

_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?", re.ASCII)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", re.ASCII)


def pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; the value may hold ``=``."""
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE", param_hint=option)
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = value
    return found


def references(words: Iterable[str]) -> dict[str, SecretReference]:
    """``--secret-arn`` words. The names of secrets hold no colon, so what follows an eighth one is a key."""
    from aimatrix.client import SecretReference

    found = {}
    for name, text in pairs(words, "--secret-arn").items():
        parts = text.split(":", 7)
        if len(parts) < 7 or parts[0] != "arn" or parts[2] != "secretsmanager":
            raise typer.BadParameter(f"{text!r} is not the ARN of a secret", param_hint="--secret-arn")
        found[name] = SecretReference(":".join(parts[:7]), parts[7] if len(parts) > 7 else None)
    return found


def parameters(words: Iterable[str]) -> dict[str, Any]:
    """``--param`` words: each value as JSON where it is JSON, else as the string it is."""
    return {name: json_or_text(value) for name, value in pairs(words, "--param").items()}


def json_or_text(value: str) -> Any:
    """``6`` is a number, ``true`` a boolean, ``[64, 32]`` a list; ``adam`` is text, and so is ``NaN``: JSON has none."""

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    try:
        return json.loads(value, parse_constant=refuse)
    except (ValueError, RecursionError):
        return value


def seconds(text: str, option: str) -> int:
    """A duration: ``90``, ``90s``, ``30m``, ``2h``, ``1h30m``."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 30m or 1h30m", param_hint=option)
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def count(text: str, option: str) -> int:
    if not _COUNT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is not a whole number of at most nine digits", param_hint=option)
    return int(text)


def money(text: str, option: str) -> Decimal:
    """US dollars, to the millionth."""
    if not _MONEY.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is not an amount of USD such as 20 or 0.75", param_hint=option)
    return Decimal(text)


def unless_none(read: Callable[[str, str], T], text: str, option: str) -> T | None:
    """A limit: what ``read`` makes of it, or None where the word is ``none``."""
    return None if text == "none" else read(text, option)


MOST_BYTES = 256 * 1024
"""Of a JSON file that holds a plan or a batch: these are far smaller."""


def read_json(path: Path, hint: str) -> Any:
    """What a JSON file on the command line holds.

    Args:
        hint: the argument's name, for the message.
    """
    if not path.is_file():
        raise typer.BadParameter(f"{path} is not a file", param_hint=hint)
    with path.open("rb") as source:
        content = source.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise typer.BadParameter(f"{path} has more than {MOST_BYTES:,} bytes", param_hint=hint)
    try:
        return json.loads(content)
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no JSON: {error}", param_hint=hint) from None
