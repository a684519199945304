"""The wire between a caller and a model: requests in the MLflow scoring protocol or CSV, answers as JSON or CSV.

Requests: JSON (`inputs`, `instances`, `dataframe_split`, `dataframe_records`, or a bare list), JSON lines, or CSV.
Answers: `{"predictions": [...]}`, JSON lines or CSV, by the Accept header. NaN and infinity are `null` in an answer,
because JSON has neither. Rows and features are counted from 0 in messages.
"""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")


class InputError(ValueError):
    """The request can't be answered, and the caller can mend it. `status_code` is the HTTP status."""

    def __init__(self, message: str, status_code: int = 400) -> None:
        super().__init__(message)
        self.status_code = status_code


class Inputs:
    """What a request asks to predict.

    Attributes:
        rows: One entry per instance: a list of cells, a scalar, or a nested list. Empty when `named` is used.
        columns: The cells' names, when the request gave them.
        named: Several inputs by name, each with all its instances.
        params: MLflow inference parameters.
    """

    def __init__(
        self,
        rows: Any = (),
        columns: list[str] | None = None,
        named: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.rows, self.columns, self.named, self.params = rows, columns, named, params

    def as_table(self) -> Inputs:
        """The same with `named` columns turned into rows."""
        if self.named is None:
            return self
        columns = list(self.named)
        values = [self.named[c] if isinstance(self.named[c], list) else [self.named[c]] for c in columns]
        lengths = {len(v) for v in values}
        if len(lengths) != 1:
            sizes = ", ".join(f"{c}: {len(v)}" for c, v in zip(columns, values))
            raise InputError(f"the inputs differ in length ({sizes})")
        return Inputs([list(row) for row in zip(*values)], columns, params=self.params)

    def as_array(self) -> Any:
        """For a user's `predict_fn`: a numpy array, or the request's own lists where they are no array."""
        import numpy

        if self.named is not None:
            return self.named
        try:
            return numpy.asarray(self.rows)
        except ValueError:  # ragged
            return self.rows


def read_inputs(body: Any, content_type: str | None) -> Inputs:
    """Parses a request's body.

    Raises:
        InputError: The body is malformed (400) or of a content type that isn't understood (415).
    """
    kind = (content_type or "application/json").split(";")[0].strip().lower()
    if isinstance(body, (bytes, bytearray, memoryview)):
        try:
            body = bytes(body).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"the body is not UTF-8 text (byte {error.start})") from None
    if kind in ("application/json", "application/json-patch+json"):
        inputs = _from_json(body)
    elif kind == "text/csv":
        inputs = _from_csv(body)
    elif kind in ("application/jsonlines", "application/x-ndjson", "application/jsonl"):
        inputs = _from_rows(
            [_parse_json(line, f"line {n}") for n, line in enumerate(body.splitlines()) if line.strip()]
        )
    else:
        raise InputError(f"content type {kind} is not understood: send application/json or text/csv", 415)
    if inputs.named is None and len(inputs.rows) == 0:
        raise InputError("the request holds no instance to predict")
    return inputs


def _parse_json(text: str, where: str = "the body") -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply") from None


def _from_json(text: str) -> Inputs:
    document = _parse_json(text)
    if isinstance(document, list):
        return _from_rows(document)
    if not isinstance(document, dict):
        raise InputError(f"send a list, or an object with one of {', '.join(FORMS)}")
    forms = [f for f in FORMS if f in document]
    if len(forms) != 1:
        raise InputError(f"the object has {' and '.join(forms) or 'none'} of {', '.join(FORMS)}: send exactly one")
    unknown = sorted(set(document) - {forms[0], "params", "signature_name"})
    if unknown:
        raise InputError(f"unknown member {unknown[0]!r} beside {forms[0]!r}")
    params = document.get("params")
    if params is not None and not isinstance(params, dict):
        raise InputError("params must be an object")
    value = document[forms[0]]
    if forms[0] == "dataframe_split":
        inputs = _from_split(value)
    elif isinstance(value, list):
        inputs = _from_rows(value, records_only=forms[0] == "dataframe_records")
    elif isinstance(value, dict) and value and forms[0] == "inputs":
        inputs = Inputs(named=value)
    else:
        expected = "a list or an object of named inputs" if forms[0] == "inputs" else "a list"
        raise InputError(f"{forms[0]} must be {expected}")
    inputs.params = params
    return inputs


def _from_split(value: Any) -> Inputs:
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise InputError('dataframe_split must be an object like {"columns": [...], "data": [[...], ...]}')
    columns = value.get("columns")
    if columns is None:
        return Inputs(value["data"])
    if not isinstance(columns, list):
        raise InputError("dataframe_split.columns must be a list of names")
    for number, row in enumerate(value["data"]):
        if not isinstance(row, list) or len(row) != len(columns):
            size = f"{len(row)} cells" if isinstance(row, list) else "no list of cells"
            raise InputError(f"row {number} has {size} for {len(columns)} columns")
    return Inputs(value["data"], [str(c) for c in columns])


def _from_rows(rows: list[Any], records_only: bool = False) -> Inputs:
    if not any(isinstance(row, dict) for row in rows):
        if records_only and rows:
            raise InputError("dataframe_records must be a list of objects")
        return Inputs(rows)
    columns = list(next(row for row in rows if isinstance(row, dict)))
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(f"row {number} is no object, unlike others")
        for name in sorted(set(columns) ^ set(row), key=str):
            raise InputError(f"row {number} {'lacks' if name in columns else 'alone has'} {name!r}")
    return Inputs([[row[c] for c in columns] for row in rows], [str(c) for c in columns])


def _from_csv(text: str) -> Inputs:
    """A first line without a single number is a header."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InputError(f"the body is not CSV: {error}") from None
    header: list[str] | None = None
    if len(lines) > 1 and not any(isinstance(_cell(c), float) for c in lines[0]):
        header = [c.strip() for c in lines.pop(0)]
    width = len(header or lines[0]) if lines else 0
    for number, line in enumerate(lines):
        if len(line) != width:
            raise InputError(f"row {number} has {len(line)} cells, the first line has {width}")
    return Inputs([[_cell(c) for c in line] for line in lines], header)


def _cell(text: str) -> Any:
    text = text.strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def write_predictions(prediction: Any, accept: str | None) -> tuple[str, str]:
    """Predictions as (body, content type).

    Raises:
        InputError: Nothing that `accept` names can be written (406).
    """
    wanted = [a.split(";")[0].strip().lower() for a in (accept or "*/*").split(",")]
    plain = to_plain(prediction)
    for kind in wanted:
        if kind in ("application/json", "application/*", "*/*", ""):
            document = plain if isinstance(plain, dict) and "predictions" in plain else {"predictions": plain}
            return json.dumps(document, allow_nan=False), "application/json"
        if kind in ("text/csv", "text/*"):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(_csv_row(row) for row in _instances(plain))
            return text.getvalue(), "text/csv"
        if kind in ("application/jsonlines", "application/x-ndjson", "application/jsonl"):
            lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in _instances(plain))
            return lines, "application/jsonlines"
    raise InputError(f"can't answer as {accept}: ask for application/json, application/jsonlines or text/csv", 406)


def _instances(plain: Any) -> list[Any]:
    if isinstance(plain, dict) and isinstance(plain.get("predictions"), list):
        plain = plain["predictions"]
    return plain if isinstance(plain, list) else [plain]


def _csv_row(row: Any) -> list[Any]:
    cells = list(row.values()) if isinstance(row, dict) else row if isinstance(row, list) else [row]
    return [json.dumps(c) if isinstance(c, (list, dict)) else c for c in cells]


def to_plain(value: Any) -> Any:
    """Arrays, tensors and data frames as lists, scalars as Python's own."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if hasattr(value, "detach"):  # a torch tensor
        return to_plain(value.detach().cpu().tolist())
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame
        return to_plain(value.to_dict(orient="records"))
    for method in ("tolist", "to_list", "numpy"):
        if hasattr(value, method):
            return to_plain(getattr(value, method)())
    return str(value)
