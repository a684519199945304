"""Every kind of model, trained here on real data, packaged, and served by a real process: same predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.functional.endpoints.serving_process import Served, serving
from trainer.model import Prepared, prepare

pytestmark = pytest.mark.frameworks


class Left:
    """The directories a script leaves, and what packaging makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.model_dir = root / "model"
        self.output_dir = root / "output"
        self.script_dir = root / "code"
        for directory in (self.model_dir, self.output_dir, self.script_dir):
            directory.mkdir()

    def prepare(self, framework: str, logged_model: Path | None = None) -> Prepared:
        prepared = prepare(
            self.model_dir,
            output_dir=self.output_dir,
            staging_dir=self.root / "staged",
            script_dir=self.script_dir,
            framework=framework,
            python=sys.executable,
            logged_model=logged_model,
        )
        assert prepared is not None
        return prepared


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


def iris() -> tuple[Any, Any]:
    from sklearn.datasets import load_iris

    features, target = load_iris(return_X_y=True)
    return features, target


def iris_frame() -> tuple[Any, Any]:
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    return bunch.data, bunch.target


def assert_close(served: Any, in_process: Any) -> None:
    numpy.testing.assert_allclose(numpy.asarray(served), numpy.asarray(in_process), rtol=1e-5, atol=1e-6)


def check_smoke_example(prepared: Prepared, served: Served) -> None:
    assert prepared.input_example is not None, prepared.notes
    assert served.predict(prepared.input_example).status == 200


class TestScikitLearn:
    def test_a_joblib_file_answers_what_the_estimator_answers(self, left: Left) -> None:
        import joblib
        from sklearn.ensemble import RandomForestClassifier

        features, target = iris()
        model = RandomForestClassifier(n_estimators=5, random_state=0).fit(features, target)
        joblib.dump(model, left.model_dir / "model.joblib")
        prepared = left.prepare("sklearn")
        assert (prepared.kind, prepared.file, prepared.servable) == ("sklearn", "model.joblib", True)
        assert prepared.signature is not None
        assert prepared.signature["inputs"][0]["tensor-spec"]["shape"] == [-1, 4]
        assert prepared.signature["outputs"][0]["tensor-spec"]["dtype"] == "int64"
        with serving(prepared.directory) as served:
            expected = model.predict(features).tolist()
            assert served.predictions({"inputs": features.tolist()}) == expected
            assert served.predictions({"instances": features.tolist()}) == expected
            assert served.predictions(features.tolist()) == expected
            csv = "\n".join(",".join(map(str, row)) for row in features)
            answer = served.request("/invocations", csv.encode(), Content_Type="text/csv", Accept="text/csv")
            assert answer.body.decode().split() == [str(label) for label in expected]
            check_smoke_example(prepared, served)

    def test_a_pickle_trained_on_a_data_frame_wants_its_features_by_name(self, left: Left) -> None:
        import pickle

        from sklearn.linear_model import LogisticRegression

        features, target = iris_frame()
        model = LogisticRegression(max_iter=500).fit(features, target)
        (left.model_dir / "model.pkl").write_bytes(pickle.dumps(model))
        prepared = left.prepare("sklearn")
        with serving(prepared.directory) as served:
            expected = model.predict(features).tolist()
            backwards = features[features.columns[::-1]]
            split = json.loads(backwards.to_json(orient="split", index=False))
            assert served.predictions({"dataframe_split": split}) == expected
            assert served.predictions({"dataframe_records": backwards.to_dict(orient="records")}) == expected
            assert served.predictions({"inputs": features.to_dict(orient="list")}) == expected
            csv = served.request("/invocations", backwards.to_csv(index=False).encode(), Content_Type="text/csv")
            assert csv.json()["predictions"] == expected
            renamed = features.rename(columns={"petal width (cm)": "width"}).to_dict(orient="records")
            refused = served.predict({"dataframe_records": renamed})
            assert refused.status == 400
            assert "'petal width (cm)' is missing" in refused.json()["error"]
            check_smoke_example(prepared, served)

    def test_a_pipeline_takes_text_columns(self, left: Left) -> None:
        import joblib
        import pandas
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        frame, target = iris_frame()
        frame = pandas.DataFrame(
            {"shape": ["long" if x > 5.8 else "short" for x in frame.iloc[:, 0]], "w": frame.iloc[:, 3]}
        )
        encode = make_column_transformer((OneHotEncoder(), ["shape"]), remainder="passthrough")
        model = make_pipeline(encode, LogisticRegression()).fit(frame, target)
        joblib.dump(model, left.model_dir / "pipeline.joblib")
        with serving(left.prepare("sklearn").directory) as served:
            records = frame.to_dict(orient="records")
            assert served.predictions({"dataframe_records": records}) == model.predict(frame).tolist()
            unknown = served.predict({"dataframe_records": [{"shape": "round", "w": 1.0}]})
            assert unknown.status == 400
            assert "unknown categories" in unknown.json()["error"]

    def test_a_text_classifier_takes_documents(self, left: Left) -> None:
        import joblib
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        documents = ["cheap pills now", "meeting at noon", "pills pills cheap", "noon lunch meeting"]
        model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(documents, ["spam", "ham", "spam", "ham"])
        joblib.dump(model, left.model_dir / "model.joblib")
        with serving(left.prepare("sklearn").directory) as served:
            assert served.predictions({"instances": ["cheap cheap", "lunch at noon"]}) == ["spam", "ham"]

    def test_a_pickled_dictionary_is_not_servable(self, left: Left) -> None:
        import joblib

        joblib.dump({"weights": [1, 2]}, left.model_dir / "model.joblib")
        prepared = left.prepare("sklearn")
        assert not prepared.servable
        assert prepared.reason is not None
        assert "holds a dict, which has no predict method" in prepared.reason


class TestXgboost:
    def booster(self) -> tuple[Any, Any]:
        import xgboost

        features, target = iris()
        data = xgboost.DMatrix(features, label=target)
        return xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2}, data, 5), features

    @pytest.mark.filterwarnings("ignore:.*[Uu]nknown file format:UserWarning", "ignore:.*UBJSON:UserWarning")
    @pytest.mark.parametrize("name", ["model.json", "model.ubj", "xgboost.model"])
    def test_a_booster_answers_what_the_booster_answers(self, left: Left, name: str) -> None:
        import xgboost

        booster, features = self.booster()
        booster.save_model(left.model_dir / name)
        (left.model_dir / "metrics.json").write_text('{"accuracy": 0.9}')
        prepared = left.prepare("xgboost")
        assert (prepared.kind, prepared.file) == ("xgboost", name)
        with serving(prepared.directory) as served:
            expected = booster.predict(xgboost.DMatrix(features))
            assert_close(served.predictions({"inputs": features.tolist()}), expected)
            refused = served.predict({"inputs": [[1.0, 2.0]]})
            assert refused.json()["error"] == "row 0 has 2 features, the model expects 4"
            check_smoke_example(prepared, served)

    def test_a_file_saved_by_the_classifier_answers_classes(self, left: Left) -> None:
        import xgboost

        frame, target = iris_frame()
        model = xgboost.XGBClassifier(n_estimators=5, max_depth=2).fit(frame, target)
        model.save_model(left.model_dir / "model.json")
        prepared = left.prepare("xgboost")
        with serving(prepared.directory) as served:
            records = frame.to_dict(orient="records")
            assert served.predictions({"dataframe_records": records}) == model.predict(frame).tolist()
            check_smoke_example(prepared, served)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
class TestKeras:
    def test_a_keras_file_and_an_hdf5_file_answer_what_the_model_answers(self, left: Left) -> None:
        import keras

        features, _ = iris()
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
        model.compile(loss="mse")
        model.save(left.model_dir / "model.keras")
        prepared = left.prepare("tensorflow")
        assert prepared.kind == "keras"
        assert prepared.signature is not None
        assert prepared.signature["inputs"][0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 4]}
        with serving(prepared.directory) as served:
            assert_close(served.predictions({"inputs": features.tolist()}), model.predict(features, verbose=0))
            refused = served.predict({"instances": [[1, 2, 3]]})
            assert refused.status == 400
            assert refused.json()["error"] == "an instance of the input has shape 3, the model expects 4"
            check_smoke_example(prepared, served)

    def test_weights_alone_are_not_servable(self, left: Left) -> None:
        import keras

        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
        model.save_weights(left.model_dir / "model.weights.h5")
        prepared = left.prepare("tensorflow")
        assert not prepared.servable
        assert prepared.reason is not None
        assert "holds weights only" in prepared.reason


class TestPyTorch:
    def network(self) -> Any:
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))

    def expected(self, network: Any, features: Any) -> Any:
        import torch

        with torch.inference_mode():
            return network.eval()(torch.tensor(features, dtype=torch.float32)).numpy()

    def export(self, network: Any, left: Left, batch: str) -> None:
        """Export in a process of its own: torch.export loads triton, which crashes where TensorFlow is loaded."""
        import torch

        whole = left.root / "network.pt"
        torch.save(network, whole)
        script = (
            "import sys, torch\n"
            "whole, batch, target = sys.argv[1:]\n"
            "network = torch.load(whole, weights_only=False).eval()\n"
            "example = (torch.zeros(1 if batch == 'fixed' else 2, 4),)\n"
            "dynamic = None if batch == 'fixed' else ({0: torch.export.Dim('batch')},)\n"
            "torch.export.save(torch.export.export(network, example, dynamic_shapes=dynamic), target)\n"
        )
        command = [sys.executable, "-c", script, str(whole), batch, str(left.model_dir / "model.pt2")]
        subprocess.run(command, check=True, timeout=300)

    @pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
    def test_a_torchscript_archive_answers_what_the_network_answers(self, left: Left) -> None:
        import torch

        features, _ = iris()
        network = self.network()
        torch.jit.script(network).save(str(left.model_dir / "model.pt"))
        prepared = left.prepare("pytorch")
        assert (prepared.kind, prepared.servable) == ("torchscript", True), prepared.reason
        with serving(prepared.directory) as served:
            assert_close(served.predictions({"inputs": features.tolist()}), self.expected(network, features))
            refused = served.predict({"inputs": [[1.0, 2.0]]})
            assert refused.status == 400
            assert refused.json()["error"].startswith("the model refused the input:")
            check_smoke_example(prepared, served)

    @pytest.mark.parametrize("batch", ["fixed", "dynamic"])
    def test_an_exported_program_answers_what_the_network_answers(self, left: Left, batch: str) -> None:
        features, _ = iris()
        network = self.network().eval()
        self.export(network, left, batch)
        prepared = left.prepare("pytorch")
        assert (prepared.kind, prepared.servable) == ("torch_export", True), prepared.reason
        with serving(prepared.directory) as served:
            assert_close(served.predictions({"inputs": features.tolist()}), self.expected(network, features))
            check_smoke_example(prepared, served)

    def test_a_bare_state_dict_is_not_servable(self, left: Left) -> None:
        import torch

        torch.save(self.network().state_dict(), left.model_dir / "model.pth")
        prepared = left.prepare("pytorch")
        assert (prepared.kind, prepared.servable) == ("unknown", False)
        assert prepared.reason is not None
        assert "bare state_dict" in prepared.reason
        assert "torch.jit.script" in prepared.reason

    def test_a_state_dict_with_an_inference_script_is_served(self, left: Left) -> None:
        import torch

        features, _ = iris()
        network = self.network()
        torch.save(network.state_dict(), left.model_dir / "model.pth")
        (left.script_dir / "net.py").write_text(
            "import torch\n"
            "def build():\n"
            "    nn = torch.nn\n"
            "    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))\n"
        )
        (left.script_dir / "inference.py").write_text(
            "import os, torch\n"
            "from net import build\n"
            "def model_fn(model_dir):\n"
            "    model = build()\n"
            "    model.load_state_dict(torch.load(os.path.join(model_dir, 'model.pth')))\n"
            "    return model\n"
        )
        prepared = left.prepare("pytorch")
        assert (prepared.kind, prepared.servable) == ("custom", True), prepared.reason
        with serving(prepared.directory) as served:
            assert_close(served.predictions({"inputs": features.tolist()}), self.expected(network, features))


class TestMlflow:
    @pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
    def test_a_logged_model_is_served_by_mlflow(self, left: Left) -> None:
        import mlflow
        from mlflow.models import infer_signature
        from sklearn.linear_model import LogisticRegression

        frame, target = iris_frame()
        model = LogisticRegression(max_iter=500).fit(frame, target)
        home = left.root / "logged"
        signature = infer_signature(frame, model.predict(frame))
        mlflow.sklearn.save_model(model, str(home), signature=signature, input_example=frame[:2], pip_requirements=[])
        (left.model_dir / "notes.txt").write_text("kept")
        prepared = left.prepare("sklearn", logged_model=home)
        assert (prepared.kind, prepared.file, prepared.servable) == ("mlflow", "mlflow", True), prepared.reason
        assert (prepared.directory / "notes.txt").read_text() == "kept"
        assert prepared.signature is not None
        assert [column["type"] for column in prepared.signature["inputs"]] == ["double"] * 4
        with serving(prepared.directory) as served:
            expected = model.predict(frame).tolist()
            assert served.predictions({"dataframe_records": frame.to_dict(orient="records")}) == expected
            assert served.predictions({"inputs": frame.to_numpy().tolist()}) == expected
            whole = served.predictions({"inputs": [[5, 3, 1, 0]]})  # JSON's integers for MLflow's doubles
            assert whole == model.predict(frame[:1] * 0 + numpy.array([5, 3, 1, 0])).tolist()
            refused = served.predict({"inputs": [["a", 3, 1, 0]]})
            assert refused.status == 400
            assert refused.json()["error"] == "row 0, feature 0 ('sepal length (cm)'): not a number"
            assert prepared.input_example is not None
            assert "dataframe_split" in prepared.input_example
            check_smoke_example(prepared, served)
