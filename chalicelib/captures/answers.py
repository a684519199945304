"""What the versions behind an endpoint answered lately, read from what was captured."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from chalicelib.captures.capturing import moment, prefix
from chalicelib.captures.redaction import REDACTED
from chalicelib.objects import Listed

MOST = 500
"""Answers read at once: each is an object, and a GetObject."""
LONGEST = timedelta(days=1)
_WINDOWS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), LONGEST)
_PAGE = 1_000
_PAGES = 5
_THREADS = 8

Value = float | str


class Kept(Protocol):
    """Where captures are."""

    def page(self, prefix: str, limit: int, after: str | None) -> list[Listed]: ...

    def read_json(self, key: str) -> Any | None: ...


@dataclass(frozen=True)
class CapturedAnswers:
    objects: Kept

    def newest(
        self, tenant: str, deployment_id: str, variants: Iterable[str], since: datetime, until: datetime
    ) -> list[Value]:
        """The first prediction of each of the last captured answers, at most `MOST`, of these variants together.

        What is neither a number nor a label is left out, and so is what was redacted.
        """
        found: list[tuple[str, str]] = []
        for variant in variants:
            below = f"{prefix(tenant, deployment_id)}{variant}/"
            found += ((key.removeprefix(below), key) for key in self._keys(below, since, until))
        keys = [key for _, key in sorted(found)[-MOST:]]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="captures") as threads:
            values = list(threads.map(self._value, keys))
        return [value for value in values if value is not None]

    def _keys(self, below: str, since: datetime, until: datetime) -> list[str]:
        """The last ones. S3 lists forwards only, so it is asked for ever more of the past until there are enough."""
        keys: list[str] = []
        for window in _WINDOWS:
            begin = max(since, until - window)
            keys = self._after(below, f"{below}{moment(begin)}")
            if len(keys) >= MOST or begin == since:
                break
        return keys[-MOST:]

    def _after(self, below: str, key: str) -> list[str]:
        keys: list[str] = []
        for _ in range(_PAGES):
            page = [each.key for each in self.objects.page(below, _PAGE, keys[-1] if keys else key)]
            keys += page
            if len(page) < _PAGE:
                break
        return keys

    def _value(self, key: str) -> Value | None:
        try:
            line = self.objects.read_json(key)
        except ValueError:
            return None
        return first_prediction(line) if isinstance(line, dict) else None


def first_prediction(line: Mapping[str, Any]) -> Value | None:
    """Of one captured exchange: one of each, because those of a request belong together.

    A number or a label as it is; of several numbers, which are taken for the scores of classes, the place of the greatest.
    """
    try:
        output = line["captureData"]["endpointOutput"]
        return _value(_READERS[output["encoding"]](output["data"]))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError, csv.Error):
        return None


def _of_json(text: str) -> Any:
    document = json.loads(text)
    predictions = document["predictions"] if isinstance(document, dict) else document
    return predictions[0] if isinstance(predictions, list) else None


def _of_csv(text: str) -> Any:
    row, *_ = csv.reader(text.splitlines()[:1], strict=True)
    try:
        return [float(cell) for cell in row]
    except ValueError:
        return row[0]


_READERS: Mapping[str, Callable[[str], Any]] = {"JSON": _of_json, "CSV": _of_csv}


def _value(found: Any) -> Value | None:
    if isinstance(found, list) and found:
        if len(found) == 1:
            return _value(found[0])
        scores = [float(each) for each in found]
        return str(scores.index(max(scores))) if all(map(math.isfinite, scores)) else None
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, int | float):
        return float(found) if math.isfinite(found) else None
    return found if isinstance(found, str) and found != REDACTED else None
