"""MLflow models, through `mlflow.pyfunc`, so that each flavor predicts as MLflow's own scoring server would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.serving.loaded import Loaded, as_rows, model_refused, order_columns, tensor, zeros
from trainer.serving.protocol import InputError, Inputs

EXAMPLE_BYTES = 32 * 1024
NUMBERS = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32"}
EMPTY = {"double": 0.0, "float": 0.0, "long": 0, "integer": 0, "boolean": False, "string": "", "any": 0.0}


def load_mlflow(path: str) -> Loaded:
    from mlflow import pyfunc

    return MlflowModel(pyfunc.load_model(path), path)


class MlflowModel(Loaded):
    def __init__(self, native: Any, path: str) -> None:
        super().__init__(native)
        self.path = Path(path)
        self.schema = native.metadata.get_input_schema()

    def predict(self, inputs: Inputs) -> Any:
        from mlflow.exceptions import MlflowException

        features = self._features(inputs)
        try:
            return self.native.predict(features, params=inputs.params)
        except MlflowException as error:
            if error.error_code in ("BAD_REQUEST", "INVALID_PARAMETER_VALUE"):
                raise model_refused(error) from error
            raise
        except (ValueError, TypeError) as error:
            raise model_refused(error) from error

    def _features(self, inputs: Inputs) -> Any:
        import numpy
        import pandas

        if self.schema is not None:
            return self._tensors(inputs) if self.schema.is_tensor_spec() else self._frame(inputs)
        if inputs.named is not None:
            return {name: numpy.asarray(values) for name, values in inputs.named.items()}
        if inputs.columns is not None:
            return pandas.DataFrame(inputs.rows, columns=inputs.columns)
        try:
            return numpy.asarray(inputs.rows)
        except ValueError:
            raise InputError("the input is ragged: every instance must have the same shape") from None

    def _tensors(self, inputs: Inputs) -> Any:
        specs = [(s.name, _dimensions(s.shape), s.type.name) for s in self.schema.inputs]
        if not self.schema.has_input_names():
            _, shape, dtype = specs[0]
            return tensor(inputs.as_table().rows, dtype, shape)
        named = inputs.named or {c: [row[i] for row in inputs.rows] for i, c in enumerate(inputs.columns or [])}
        missing = [name for name, _, _ in specs if name not in named]
        if missing:
            raise InputError(f"input {missing[0]!r} is missing")
        return {name: tensor(named[name], dtype, shape, repr(name)) for name, shape, dtype in specs}

    def _frame(self, inputs: Inputs) -> Any:
        import pandas

        names: list[str] = [str(n) for n in self.schema.input_names()] if self.schema.has_input_names() else []
        required = {str(n) for n in self.schema.required_input_names()} if names else set()
        table = order_columns(inputs.as_table(), names, optional=[n for n in names if n not in required])
        columns = table.columns if table.columns is not None and names else names
        rows = as_rows(table.rows, len(columns) if columns else len(self.schema.inputs))
        frame = pandas.DataFrame(rows, columns=columns or None)
        for position, column in enumerate(frame.columns):
            spec = self.schema.inputs[names.index(column)] if names else self.schema.inputs[position]
            dtype = NUMBERS.get(getattr(spec.type, "name", ""))
            if dtype is None:
                continue
            try:
                # JSON does not tell 5 from 5.0, and MLflow refuses an integer column where a double is expected.
                numbers = pandas.to_numeric(frame[column])
                whole = dtype.startswith("float") or (numbers.notna().all() and (numbers % 1 == 0).all())
                frame[column] = numbers.astype(dtype) if whole else numbers
            except (ValueError, TypeError):
                odd = next(
                    (f"row {n}" for n, v in enumerate(frame[column]) if isinstance(v, (str, list, dict))), "a row"
                )
                raise InputError(f"{odd}, feature {position} ({column!r}): not a number") from None
        return frame

    def describe(self) -> dict[str, Any]:
        signature = self.native.metadata.signature
        known = None
        if signature is not None:
            known = {part: json.loads(value) if value else None for part, value in signature.to_dict().items()}
        return {"signature": known, "input_example": self._saved_example() or self._made_example()}

    def _saved_example(self) -> Any:
        info = self.native.metadata.saved_input_example_info or {}
        path = self.path / (info.get("serving_input_path") or "serving_input_example.json")
        if not path.is_file() or path.stat().st_size > EXAMPLE_BYTES:
            return None
        return json.loads(path.read_text(encoding="utf-8"))

    def _made_example(self) -> Any:
        if self.schema is None:
            return None
        if self.schema.is_tensor_spec():
            made = {s.name: [zeros(_dimensions(s.shape), s.type.name)] for s in self.schema.inputs}
            return {"inputs": made if self.schema.has_input_names() else next(iter(made.values()))}
        kinds = [getattr(s.type, "name", "") for s in self.schema.inputs]
        if not all(kind in EMPTY for kind in kinds):
            return None
        data = {"data": [[EMPTY[kind] for kind in kinds]]}
        if not self.schema.has_input_names():
            return {"inputs": data["data"]}
        return {"dataframe_split": {"columns": self.schema.input_names(), **data}}


def _dimensions(shape: Any) -> list[Any]:
    return [None if d == -1 else int(d) for d in tuple(shape)[1:]]
