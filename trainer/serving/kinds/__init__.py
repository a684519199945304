"""How a model of each kind is loaded and asked. A framework is imported only by the loader that needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trainer.serving.kinds.keras_model import KerasModel, load_keras
from trainer.serving.kinds.mlflow_model import load_mlflow
from trainer.serving.kinds.sklearn_model import SklearnModel, load_pickle
from trainer.serving.kinds.torch_model import TorchModel, load_torch_export, load_torchscript
from trainer.serving.kinds.xgboost_model import BoosterModel, load_xgboost
from trainer.serving.loaded import Loaded

LOADERS: dict[str, Callable[[str], Loaded]] = {
    "mlflow": load_mlflow,
    "sklearn": load_pickle,
    "xgboost": load_xgboost,
    "keras": load_keras,
    "torchscript": load_torchscript,
    "torch_export": load_torch_export,
}


def wrap(native: Any) -> Loaded:
    """What a user's `model_fn` returned, for the default `predict_fn`: recognised by where its class is from."""
    libraries = {base.__module__.split(".")[0] for base in type(native).__mro__}
    if "torch" in libraries:
        return TorchModel(native)
    if "keras" in libraries or "tensorflow" in libraries:
        return KerasModel(native)
    if "xgboost" in libraries and type(native).__name__ == "Booster":
        return BoosterModel(native)
    if hasattr(native, "predict"):
        return SklearnModel(native)
    raise TypeError(f"a {type(native).__name__} has no predict method: add a predict_fn to inference.py")
