"""SageMaker's four functions around a trained model of any kind.

AWS's scikit-learn, XGBoost and PyTorch inference images call `model_fn`, `input_fn`, `predict_fn` and `output_fn` of
`code/inference.py`; so does the serving process on a laptop. `aimatrix-model.json` beside the model says what to load.
Functions of the user's own `inference.py`, kept as `user_inference.py` beside the generated one, come first.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import threading
from pathlib import Path
from typing import Any, Callable

from trainer.serving.kinds import LOADERS, wrap
from trainer.serving.loaded import Loaded
from trainer.serving.protocol import InputError, Inputs, read_inputs, write_predictions

DOCUMENT = "aimatrix-model.json"
USER_MODULE = "user_inference"


def model_fn(model_dir: str) -> Any:
    """Loads the model that `aimatrix-model.json` names."""
    document = json.loads((Path(model_dir) / DOCUMENT).read_text(encoding="utf-8"))
    own = _user_function("model_fn")
    if own is not None:
        native = _call(own, model_dir)
        decides_itself = _user_function("predict_fn") or _user_function("transform_fn")
        return native if decides_itself is not None else wrap(native)
    kind = document.get("model_kind") or document["kind"]
    loader = LOADERS.get(kind)
    if loader is None:
        raise ValueError(f"a model of kind {kind} can't be served without a model_fn in inference.py")
    return loader(str(Path(model_dir) / document["file"]))


def input_fn(request_body: Any, content_type: str) -> Any:
    """Reads a request into `Inputs`, or into whatever the user's own `input_fn` makes of it."""
    transform = _user_function("transform_fn")
    if transform is not None:
        return _Untouched(transform, request_body, content_type)
    own = _user_function("input_fn")
    try:
        if own is not None:
            return _call(own, request_body, content_type)
        inputs = read_inputs(request_body, content_type)
        return inputs.as_array() if _user_function("predict_fn") is not None else inputs
    except InputError as error:
        return _Refused(error)


def predict_fn(data: Any, model: Any) -> Any:
    if isinstance(data, _Refused):
        return data
    if isinstance(data, _Untouched):
        data.model = model.native if isinstance(model, Loaded) else model
        return data
    own = _user_function("predict_fn")
    try:
        if own is not None:
            return _call(own, data, model.native if isinstance(model, Loaded) else model)
        return model.predict(data if isinstance(data, Inputs) else Inputs(rows=data))
    except InputError as error:
        return _Refused(error)


def output_fn(prediction: Any, accept: str) -> Any:
    """Writes predictions in a form that `accept` allows, as (body, content type)."""
    try:
        if isinstance(prediction, _Refused):
            raise prediction.error
        if isinstance(prediction, _Untouched):
            return _call(prediction.transform, prediction.model, prediction.body, prediction.content_type, accept)
        own = _user_function("output_fn")
        return _call(own, prediction, accept) if own is not None else write_predictions(prediction, accept)
    except InputError as error:
        return _answer_refusal(error)


class _Refused:
    """Travels from where a request was refused to `output_fn`, past hosting code that turns exceptions into a 500."""

    def __init__(self, error: InputError) -> None:
        self.error = error


class _Untouched:
    """A request on its way to the user's `transform_fn`, which does the work of three functions."""

    def __init__(self, transform: Callable[..., Any], body: Any, content_type: str) -> None:
        self.transform, self.body, self.content_type = transform, body, content_type
        self.model: Any = None


def _answer_refusal(error: InputError) -> Any:
    """A 4xx in the words of the server around us: Flask in AWS's scikit-learn and XGBoost images, MMS or TorchServe."""
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_request_context():
        body = json.dumps({"error": str(error)})
        return flask.Response(body, status=error.status_code, mimetype="application/json")
    toolkit = sys.modules.get("sagemaker_inference.errors")
    if toolkit is not None:
        raise toolkit.BaseInferenceToolkitError(error.status_code, str(error), "Invalid input") from None
    raise error from None


_user_module_lock = threading.Lock()


def _user_function(name: str) -> Callable[..., Any] | None:
    path = Path(__file__).with_name(f"{USER_MODULE}.py")
    if not path.is_file():
        return None
    with _user_module_lock:
        module = sys.modules.get(USER_MODULE)
        if module is None:
            if str(path.parent) not in sys.path:
                sys.path.insert(0, str(path.parent))  # for its sibling modules
            spec = importlib.util.spec_from_file_location(USER_MODULE, path)
            if spec is None or spec.loader is None:
                raise ImportError(f"{path} can't be imported")
            module = importlib.util.module_from_spec(spec)
            sys.modules[USER_MODULE] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[USER_MODULE]
                raise
    return getattr(module, name, None)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a user's function; AWS's PyTorch images pass a context as one more argument to those that take it."""
    required = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return function(*arguments, None) if len(required) == len(arguments) + 1 else function(*arguments)
