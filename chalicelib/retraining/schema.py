"""Whether new data is like the data before: columns, their types and ranges, of samples of CSV files. Pure."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_COLUMNS = 1_000
"""Of a file, and of all samples together: more are no table, and nothing is said of them."""
MAX_JSON_BYTES = 100_000
_LONGEST_NAME = 128
_SHOWN = 5
_SAID = 20
_EMPTY = frozenset({"", "na", "nan", "null", "none"})


@dataclass(frozen=True)
class Column:
    """
    Attributes:
        is_number: every value that is there is one.
        least, greatest: of the numbers.
    """

    is_number: bool
    least: float = math.inf
    greatest: float = -math.inf

    @property
    def is_empty(self) -> bool:
        return self.is_number and self.least > self.greatest

    def joined(self, other: Column) -> Column:
        least, greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        return Column(self.is_number and other.is_number, least, greatest)


Profile = Mapping[str, Column]


def profile(samples: Iterable[str]) -> Profile:
    """What samples of files look like together. The first line of each is its header, a last one that is cut off is left.

    A file that is no table adds nothing. Nothing is known of more columns, or longer names, than are compared.
    """
    found: dict[str, Column] = {}
    for sample in samples:
        for name, column in _of_file(sample).items():
            found[name] = found[name].joined(column) if name in found else column
    return found if len(found) <= MAX_COLUMNS else {}


def differences(before: Profile, now: Profile) -> list[str]:
    """In sentences, how new data differs from the data before; none where one of them is unknown.

    A range may grow by its own width either way: what lies beyond is said. A column without any value is like every other.
    """
    if not before or not now:
        return []
    said = []
    if gone := sorted(before.keys() - now.keys()):
        said.append(f"These columns are missing: {_names(gone)}.")
    if more := sorted(now.keys() - before.keys()):
        said.append(f"These columns are new: {_names(more)}.")
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        if old.is_empty or new.is_empty:
            continue
        if old.is_number != new.is_number:
            kinds = ("numbers", "text") if old.is_number else ("text", "numbers")
            said.append(f"{name[:80]} was {kinds[0]}, and is {kinds[1]}.")
        elif old.is_number:
            # What never changed so far has no width: it may change by its own size.
            width = (old.greatest - old.least) or max(1.0, abs(old.greatest))
            if new.least < old.least - width or new.greatest > old.greatest + width:
                said.append(
                    f"{name[:80]} was {old.least:g} to {old.greatest:g}, and is {new.least:g} to {new.greatest:g}."
                )
    return said if len(said) <= _SAID else [*said[:_SAID], f"{len(said) - _SAID} more differences."]


def to_json(seen: Profile) -> str | None:
    """None for nothing, and for more than a record has room for."""
    document = {name: [each.is_number, *_range(each)] for name, each in seen.items()}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text if seen and len(text.encode()) <= MAX_JSON_BYTES else None


def from_json(text: str | None) -> Profile:
    if text is None:
        return {}
    return {
        name: Column(is_number, *(() if least is None else (least, greatest)))
        for name, (is_number, least, greatest) in json.loads(text).items()
    }


def _of_file(sample: str) -> dict[str, Column]:
    rows = csv.reader(io.StringIO(sample.removeprefix("\ufeff")))
    try:
        header = [name.strip()[:_LONGEST_NAME] for name in next(rows)]
        if not 0 < len(header) <= MAX_COLUMNS or len(set(header)) != len(header):
            return {}
        # Without a header the first line is data: its numbers are no names.
        if all(_number(name) is not None for name in header):
            header = [f"column {place}" for place in range(1, len(header) + 1)]
        body = [row for row in rows if len(row) == len(header)]
    except (StopIteration, csv.Error):
        return {}
    return {name: _column(row[place] for row in body) for place, name in enumerate(header)}


def _column(values: Iterable[str]) -> Column:
    there = [value.strip() for value in values if value.strip().lower() not in _EMPTY]
    numbers = [_number(value) for value in there]
    if any(number is None for number in numbers):
        return Column(is_number=False)
    known = [number for number in numbers if number is not None]
    return Column(True, min(known, default=math.inf), max(known, default=-math.inf))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _range(column: Column) -> tuple[float | None, float | None]:
    return (column.least, column.greatest) if column.least <= column.greatest else (None, None)


def _names(names: list[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
