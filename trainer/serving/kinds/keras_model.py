"""Keras models from `.keras` and HDF5 files, with whatever backend the environment has."""

from __future__ import annotations

import threading
from typing import Any

from trainer.serving.loaded import Loaded, model_refused, refuse_params, tensor, tensor_schema, zeros
from trainer.serving.protocol import InputError, Inputs


def load_keras(path: str) -> Loaded:
    try:
        from keras import models
    except ImportError:
        from tensorflow.keras import models  # type: ignore[import-untyped,unused-ignore]
    # Without compiling: losses, metrics and optimizers of the user's own are not needed to predict.
    return KerasModel(models.load_model(path, compile=False))


class KerasModel(Loaded):
    def __init__(self, native: Any) -> None:
        super().__init__(native)
        self._one_at_a_time = threading.Lock()  # `Model.predict` keeps state on the model

    def _inputs(self) -> list[tuple[str, tuple[int | None, ...], str]]:
        """(name, shape of one instance, dtype) of each input; empty for a model that was never built."""
        found = []
        for given in getattr(self.native, "inputs", None) or []:
            dtype = getattr(given.dtype, "name", None) or str(given.dtype)
            found.append((given.name.split(":")[0], tuple(given.shape)[1:], dtype))
        return found

    def predict(self, inputs: Inputs) -> Any:
        refuse_params(inputs)
        features = self._features(inputs)
        with self._one_at_a_time:
            try:
                return self.native.predict(features, verbose=0)
            except (ValueError, TypeError) as error:
                raise model_refused(error) from error

    def _features(self, inputs: Inputs) -> Any:
        expected = self._inputs()
        if len(expected) > 1:
            named = inputs.named
            if named is None and inputs.columns is not None:
                named = {c: [row[i] for row in inputs.rows] for i, c in enumerate(inputs.columns)}
            missing = [name for name, _, _ in expected if named is None or name not in named]
            if named is None or missing:
                raise InputError(f'the model has several inputs, send {{"inputs": {{...}}}}; missing: {missing}')
            return {name: tensor(named[name], dtype, shape, repr(name)) for name, shape, dtype in expected}
        rows: Any = inputs.rows
        if inputs.named is not None:
            only = expected[0][0] if expected else ""
            rows = inputs.named[only] if set(inputs.named) == {only} else inputs.as_table().rows
        if not expected:
            return tensor(rows, "float32")
        _, shape, dtype = expected[0]
        return tensor(rows, dtype, shape)

    def describe(self) -> dict[str, Any]:
        expected = self._inputs()
        if not expected:
            return {}
        several = len(expected) > 1
        schema = [tensor_schema(dtype, shape, name if several else None) for name, shape, dtype in expected]
        examples = {name: [zeros(shape, dtype)] for name, shape, dtype in expected}
        example = {"inputs": examples if several else next(iter(examples.values()))}
        return {"signature": {"inputs": schema}, "input_example": example}
