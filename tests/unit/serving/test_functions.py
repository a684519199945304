"""The four functions as an AWS image calls them, with and without a user's own."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from trainer.serving.generate import inference_source


class Image:
    """A hosting process of AWS's around a `code/inference.py`."""

    def __init__(self, root: Path, user: str = "", document: dict[str, Any] | None = None) -> None:
        self.root = root
        (root / "code").mkdir()
        (root / "code" / "inference.py").write_text(inference_source())
        if user:
            (root / "code" / "user_inference.py").write_text(user)
        stated = {"kind": "custom", "file": None, "model_kind": None, **(document or {})}
        (root / "aimatrix-model.json").write_text(json.dumps(stated))
        spec = importlib.util.spec_from_file_location("generated_inference", root / "code" / "inference.py")
        assert spec is not None
        assert spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        self.model = self.module.model_fn(str(root))

    def answer(self, body: Any, content_type: str = "application/json", accept: str = "application/json") -> Any:
        text = body if isinstance(body, str) else json.dumps(body)
        data = self.module.input_fn(text, content_type)
        return self.module.output_fn(self.module.predict_fn(data, self.model), accept)


@pytest.fixture(autouse=True)
def _forget_user_module() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.modules.pop("user_inference", None)
    sys.path[:] = path


PREDICTOR = """
class Mean:
    n_features_in_ = 2
    def predict(self, rows):
        return rows.mean(axis=1)
def model_fn(model_dir):
    return Mean()
"""


class TestUserFunctions:
    def test_missing_functions_fall_back_to_the_generated_ones(self, tmp_path: Path) -> None:
        image = Image(tmp_path, PREDICTOR)
        body, kind = image.answer({"inputs": [[1, 3], [5, 7]]})
        assert (json.loads(body), kind) == ({"predictions": [2.0, 6.0]}, "application/json")
        assert image.answer("1,3\n", "text/csv", "text/csv") == ("2.0\n", "text/csv")

    def test_a_users_predict_fn_gets_an_array_and_its_own_model(self, tmp_path: Path) -> None:
        user = "def model_fn(d):\n    return 10\ndef predict_fn(data, model):\n    return data * model\n"
        body, _ = Image(tmp_path, user).answer({"instances": [[1, 2]]})
        assert json.loads(body) == {"predictions": [[10, 20]]}

    def test_a_context_is_passed_to_functions_that_take_one(self, tmp_path: Path) -> None:
        user = (
            "def model_fn(d, context):\n    return context\n"
            "def predict_fn(data, model, context):\n    return [str(model)]\n"
        )
        body, _ = Image(tmp_path, user).answer([1])
        assert json.loads(body) == {"predictions": ["None"]}

    def test_a_transform_fn_does_the_work_of_three(self, tmp_path: Path) -> None:
        user = (
            "def model_fn(d):\n    return 'model'\n"
            "def transform_fn(model, body, content_type, accept):\n"
            "    return '|'.join([model, body, content_type, accept]), 'text/plain'\n"
        )
        assert Image(tmp_path, user).answer("b", "t/c", "a/c") == ("model|b|t/c|a/c", "text/plain")

    def test_all_four_of_the_user_are_used(self, tmp_path: Path) -> None:
        user = (
            "def model_fn(d):\n    return '1'\n"
            "def input_fn(body, content_type):\n    return body + '2'\n"
            "def predict_fn(data, model):\n    return data + model\n"
            "def output_fn(prediction, accept):\n    return prediction + accept\n"
        )
        assert Image(tmp_path, user).answer("x", accept="4") == "x214"

    def test_a_user_module_that_does_not_import_is_told_again_at_the_next_call(self, tmp_path: Path) -> None:
        for attempt in range(2):
            place = tmp_path / str(attempt)
            place.mkdir()
            with pytest.raises(ZeroDivisionError):
                Image(place, "1 / 0\n")


class TestRefusals:
    def test_a_malformed_request_is_refused_at_the_end(self, tmp_path: Path) -> None:
        image = Image(tmp_path, PREDICTOR)
        data = image.module.input_fn("{", "application/json")
        prediction = image.module.predict_fn(data, image.model)
        with pytest.raises(image.module.InputError, match="is not JSON") as caught:
            image.module.output_fn(prediction, "application/json")
        assert caught.value.status_code == 400
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize(
        ("inputs", "says"),
        [
            ([[1, 2, 3]], "row 0 has 3 features, the model expects 2"),
            ([[1, 2], [1]], "row 1 has 1 features, the model expects 2"),
            ([[1, 2], [1, "x"]], "row 1, feature 1: 'x' is not a number"),
            ([[[1], 2]], "row 0, feature 0: [1] is not a number"),
        ],
    )
    def test_the_place_is_named(self, tmp_path: Path, inputs: Any, says: str) -> None:
        image = Image(tmp_path, PREDICTOR)
        with pytest.raises(image.module.InputError) as caught:
            image.answer({"inputs": inputs})
        assert str(caught.value) == says

    def test_a_flat_list_of_the_right_length_is_one_row(self, tmp_path: Path) -> None:
        assert json.loads(Image(tmp_path, PREDICTOR).answer([1, 3])[0]) == {"predictions": [2.0]}

    def test_in_the_mms_and_torchserve_images_it_is_the_toolkits_own_error(self, tmp_path: Path) -> None:
        class ToolkitError(Exception):
            def __init__(self, status_code: int, message: str, phrase: str) -> None:
                super().__init__(message)
                self.status_code, self.message, self.phrase = status_code, message, phrase

        errors = ModuleType("sagemaker_inference.errors")
        errors.BaseInferenceToolkitError = ToolkitError  # type: ignore[attr-defined]
        sys.modules["sagemaker_inference"] = ModuleType("sagemaker_inference")
        sys.modules["sagemaker_inference.errors"] = errors
        try:
            with pytest.raises(ToolkitError) as caught:
                Image(tmp_path, PREDICTOR).answer("{")
        finally:
            del sys.modules["sagemaker_inference"], sys.modules["sagemaker_inference.errors"]
        assert caught.value.status_code == 400

    def test_in_the_flask_images_it_is_a_response(self, tmp_path: Path) -> None:
        import flask

        with flask.Flask("image").test_request_context("/invocations"):
            response = Image(tmp_path, PREDICTOR).answer("{")
        assert response.status_code == 400
        assert "is not JSON" in response.get_json()["error"]


class TestWhatLoads:
    def test_a_kind_that_no_loader_knows_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="of kind unknown can't be served without a model_fn"):
            Image(tmp_path, document={"kind": "unknown"})

    def test_an_object_without_predict_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match="a dict has no predict method: add a predict_fn"):
            Image(tmp_path, "def model_fn(d):\n    return {}\n")
