"""Takes named fields out of requests and answers. Pure.

What can't be read is withheld as a whole: nothing that should have been taken out is ever kept for want of understanding it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from typing import Any

REDACTED = "[redacted]"
_TABLES = ("columns", "data")


def redacted(text: str, media_type: str, names: Collection[str]) -> str:
    """The same without the values of these fields, wherever they stand.

    Args:
        media_type: `application/json`: objects by their names, and tables with `columns` and `data` as MLflow's
            `dataframe_split` has them; `text/csv`: columns by the header.
    """
    if not names:
        return text
    try:
        return _csv(text, names) if media_type == "text/csv" else _json(text, names)
    except (ValueError, RecursionError, csv.Error):
        return REDACTED


def _json(text: str, names: Collection[str]) -> str:
    return json.dumps(_value(json.loads(text), names), ensure_ascii=False, separators=(",", ":"))


def _value(value: Any, names: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_value(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    found = {name: REDACTED if name in names else _value(each, names) for name, each in value.items()}
    columns, rows = (found.get(name) for name in _TABLES)
    if isinstance(columns, list) and isinstance(rows, list):
        hidden = {place for place, column in enumerate(columns) if column in names}
        found["data"] = [_row(row, hidden) for row in rows]
    return found


def _row(row: Any, hidden: Collection[int]) -> Any:
    if not isinstance(row, list):
        return REDACTED if hidden else row
    return [REDACTED if place in hidden else each for place, each in enumerate(row)]


def _csv(text: str, names: Collection[str]) -> str:
    """
    Raises:
        ValueError: there is no header that names one of them, so nobody knows which column is which.
    """
    header, *rows = list(csv.reader(io.StringIO(text), strict=True))
    hidden = {place for place, column in enumerate(header) if column.strip() in names}
    if not hidden:
        raise ValueError("none of the fields is in the header")
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows([header, *(_row(row, hidden) for row in rows)])
    return made.getvalue()
