"""What a model file says by itself, in a process of its own: torch.export loads triton, which crashes where TensorFlow is.

As a script: `python model_file.py KIND FOLDER`, the question as JSON on standard input, the predictions as JSON on standard
output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[list[float]]


def predictions(kind: str, folder: Path, rows: Rows, columns: list[str]) -> list[Any]:
    """What the model file somewhere under a folder predicts for rows of named columns.

    Args:
        kind: one of `KINDS`.
    """
    command = [sys.executable, __file__, kind, str(folder)]
    question = json.dumps({"rows": rows, "columns": columns})
    done = subprocess.run(command, input=question, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout)
    return answer


def _sklearn(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import joblib
    import pandas

    return joblib.load(next(folder.rglob("*.joblib"))).predict(pandas.DataFrame(rows, columns=columns))


def _sklearn_arrays(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import joblib

    return joblib.load(next(folder.rglob("*.joblib"))).predict(rows)


def _xgboost(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import numpy
    import xgboost

    booster = xgboost.Booster(model_file=next(folder.rglob("*.ubj")))
    return booster.predict(xgboost.DMatrix(numpy.array(rows), feature_names=columns))


def _pytorch(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import torch

    program = torch.export.load(next(folder.rglob("*.pt2")))
    with torch.no_grad():
        return program.module()(torch.tensor(rows, dtype=torch.float32))


def _tensorflow(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import keras
    import numpy

    model = keras.saving.load_model(next(folder.rglob("*.keras")))
    return model.predict(numpy.array(rows, dtype="float32"), verbose=0)


def _custom(folder: Path, rows: Rows, columns: list[str]) -> Any:
    import numpy

    with numpy.load(next(folder.rglob("ridge.npz"))) as stored:
        model = {name: stored[name] for name in stored.files}
    return (numpy.array(rows) - model["mean"]) / model["scale"] @ model["weights"] + model["intercept"]


KINDS: dict[str, Callable[[Path, Rows, list[str]], Any]] = {
    "sklearn": _sklearn,
    "sklearn-arrays": _sklearn_arrays,
    "xgboost": _xgboost,
    "pytorch": _pytorch,
    "tensorflow": _tensorflow,
    "custom": _custom,
}

if __name__ == "__main__":
    kind, folder = sys.argv[1:]
    question = json.load(sys.stdin)
    json.dump(KINDS[kind](Path(folder), question["rows"], question["columns"]).tolist(), sys.stdout)
