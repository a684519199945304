"""scikit-learn estimators, and whatever else has their `predict`, from joblib or pickle."""

from __future__ import annotations

from typing import Any

from trainer.serving.loaded import (
    Loaded,
    as_rows,
    column_schema,
    is_number,
    matrix,
    model_refused,
    order_columns,
    refuse_params,
)
from trainer.serving.protocol import Inputs


def load_pickle(path: str) -> Loaded:
    try:
        import joblib
    except ImportError:
        import pickle

        with open(path, "rb") as stream:  # noqa: PTH123
            value = pickle.load(stream)  # noqa: S301 - the job's own model, run by the same owner
    else:
        value = joblib.load(path)
    if type(value).__module__.startswith("xgboost.core") and type(value).__name__ == "Booster":
        from trainer.serving.kinds.xgboost_model import BoosterModel

        return BoosterModel(value)
    if not callable(getattr(value, "predict", None)):
        raise TypeError(f"the file holds a {type(value).__name__}, which has no predict method")
    return SklearnModel(value)


class SklearnModel(Loaded):
    def __init__(self, native: Any) -> None:
        super().__init__(native)
        names = getattr(native, "feature_names_in_", None)
        self.names: list[str] | None = None if names is None else [str(n) for n in names]
        width = getattr(native, "n_features_in_", None)
        self.width: int | None = None if width is None else int(width)
        self.takes_text = any(
            hasattr(part, "steps") or hasattr(part, "transformers")
            for part in (native, getattr(native, "best_estimator_", None), getattr(native, "estimator", None))
        )

    def predict(self, inputs: Inputs) -> Any:
        refuse_params(inputs)
        features = self._features(order_columns(inputs.as_table(), self.names))
        try:
            return self.native.predict(features)
        except (ValueError, TypeError) as error:
            raise model_refused(error) from error

    def _features(self, inputs: Inputs) -> Any:
        rows = list(inputs.rows)
        if self.width is None and rows and all(isinstance(row, str) for row in rows):
            return rows  # documents, for a text pipeline
        table = as_rows(rows, self.width)
        names = self.names or inputs.columns
        if self.takes_text and not all(is_number(cell) for row in table for cell in row):
            return self._frame(table, names, as_objects=True)
        return self._frame(matrix(table, names), self.names, as_objects=False)

    @staticmethod
    def _frame(table: Any, names: list[str] | None, as_objects: bool) -> Any:
        import numpy

        if names:
            try:
                import pandas
            except ImportError:
                pass
            else:
                return pandas.DataFrame(table, columns=names)
        return numpy.array(table, dtype=object) if as_objects else table

    def describe(self) -> dict[str, Any]:
        if self.width is None:
            return {}
        row = [0.0] * self.width
        example = {"dataframe_split": {"columns": self.names, "data": [row]}} if self.names else {"inputs": [row]}
        kind = "any" if self.takes_text else "double"
        return {"signature": {"inputs": column_schema(self.names, self.width, kind)}, "input_example": example}
