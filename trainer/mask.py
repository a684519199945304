"""Hides values of secrets in whatever leaves the container as text.

A value is looked for as it is and as programs commonly write it: each line of one that has several, in JSON and Python's
notation, percent-encoded, in hexadecimal, and in base64, also within something longer (a user's name and the password
together, say). Parts of a value, or a value that a script disguises on purpose, are not found.
"""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

TYPE_CHECKING = False  # `typing` costs the agent's start 10 ms
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

HIDDEN = b"***"
# A short line of a value that has several may be `{` or `key:`.
SHORTEST_LINE = 6
# Names of members that hold what MLflow made up, never what a script said.
_IDENTIFIERS = ("_id", "_ids", "_uuid", "_uri", "_location", "digest")


class Mask:
    """Hides values. `longest` is the length in bytes of the longest form of any of them."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        # The longest first: what is part of it must not break it.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self.longest = max(map(len, forms), default=0)

    def data(self, data: bytes) -> bytes:
        """The same bytes without the values."""
        for form in self._forms:
            if form in data:
                data = data.replace(form, HIDDEN)
        return data

    def text(self, text: str) -> str:
        """The same text without the values."""
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def document(self, value: Any) -> Any:
        """The same JSON without the values, in names and in texts; identifiers stay as they are."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(item) for item in value]
        if isinstance(value, dict):
            return {
                self.text(name): item if name.endswith(_IDENTIFIERS) else self.document(item)
                for name, item in value.items()
            }
        return value


def _forms(value: str) -> set[bytes]:
    raw = value.encode("utf-8", "surrogatepass")
    lines = [line.strip() for line in value.splitlines()]
    texts = {
        value,
        value.strip(),
        *(line for line in lines if len(line) >= SHORTEST_LINE),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(raw)[2:-1],
        quote(raw),
        quote(raw, safe=""),
        quote_plus(raw),
        raw.hex(),
        raw.hex().upper(),
    }
    forms = {text.encode("utf-8", "surrogatepass") for text in texts}
    # What a terminal that knows only ASCII is sent.
    forms.add(value.encode("ascii", "backslashreplace"))
    for encoded in _base64(raw):
        forms |= {encoded, encoded.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in forms if len(form) >= 4}


def _base64(raw: bytes) -> set[bytes]:
    """The value by itself, in one line and in lines of 76; and what stays the same of it behind 0, 1 or 2 other bytes."""
    found = {base64.b64encode(raw), *base64.encodebytes(raw).split()}
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        # Six bits a character; those that share a character with a neighbour's bits depend on the neighbour.
        found.add(encoded[-(-8 * before // 6) : 8 * (before + len(raw)) // 6])
    return found
