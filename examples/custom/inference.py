"""How the ridge regression is served: SageMaker's four functions."""

import json
from pathlib import Path

import numpy as np


def model_fn(model_dir):
    with np.load(Path(model_dir) / "ridge.npz") as stored:
        return {name: stored[name] for name in stored.files}


def input_fn(request_body, content_type):
    text = request_body.decode() if isinstance(request_body, (bytes, bytearray)) else request_body
    if content_type == "text/csv":
        return np.loadtxt(text.splitlines(), delimiter=",", ndmin=2)
    if content_type == "application/json":
        return np.atleast_2d(np.array(json.loads(text)["inputs"], dtype=float))
    raise ValueError(f"{content_type} is not supported: send application/json or text/csv")


def predict_fn(features, model):
    return (features - model["mean"]) / model["scale"] @ model["weights"] + model["intercept"]


def output_fn(prediction, accept):
    if accept == "text/csv":
        return "\n".join(str(value) for value in prediction.tolist()), accept
    return json.dumps({"predictions": prediction.tolist()}), "application/json"
