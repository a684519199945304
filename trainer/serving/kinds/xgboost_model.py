"""XGBoost's own JSON and UBJ files.

A file saved by the scikit-learn interface says so in an attribute; a classifier then answers classes, as its own
`predict` does. A plain booster answers what `Booster.predict` answers (probabilities for `binary:logistic`).
"""

from __future__ import annotations

import json
from typing import Any

from trainer.serving.kinds.sklearn_model import SklearnModel
from trainer.serving.loaded import Loaded, as_rows, column_schema, matrix, model_refused, order_columns, refuse_params
from trainer.serving.protocol import Inputs

ESTIMATORS = {"classifier": "XGBClassifier", "regressor": "XGBRegressor", "ranker": "XGBRanker"}


def load_xgboost(path: str) -> Loaded:
    import xgboost

    booster = xgboost.Booster(model_file=path)
    attribute = booster.attr("scikit_learn")
    estimator = ESTIMATORS.get(json.loads(attribute).get("_estimator_type", "")) if attribute else None
    if estimator is None:
        return BoosterModel(booster)
    try:
        model = getattr(xgboost, estimator)()
    except ImportError:  # scikit-learn is not installed here
        return BoosterModel(booster)
    model.load_model(path)
    return SklearnModel(model)


class BoosterModel(Loaded):
    def predict(self, inputs: Inputs) -> Any:
        import xgboost

        refuse_params(inputs)
        names = self.native.feature_names
        table = order_columns(inputs.as_table(), names)
        rows = as_rows(table.rows, self.native.num_features())
        features = xgboost.DMatrix(
            matrix(rows, names), feature_names=names, feature_types=self.native.feature_types, enable_categorical=True
        )
        try:
            return self.native.predict(features)
        except (ValueError, xgboost.core.XGBoostError) as error:
            raise model_refused(error) from error

    def describe(self) -> dict[str, Any]:
        names, width = self.native.feature_names, self.native.num_features()
        row = [0.0] * width
        example = {"dataframe_split": {"columns": names, "data": [row]}} if names else {"inputs": [row]}
        return {"signature": {"inputs": column_schema(names, width)}, "input_example": example}
