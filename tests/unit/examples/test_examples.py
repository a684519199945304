"""The examples are scripts a user would write: they know nothing of this project, and they run without it."""

from __future__ import annotations

import ast
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
NAMES = ("checkpoints", "custom", "pytorch", "script_mode", "sklearn", "tensorflow", "xgboost")
OURS = {"aimatrix", "chalicelib", "infra", "localcloud", "trainer"}
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))
CLASSIFICATION = {"accuracy", "precision", "recall", "f1_score"}


def run(example: str, script: str, *arguments: str, folder: Path, **environ: str) -> str:
    """What a script of an example prints, run in a folder by a Python that doesn't see this project."""
    bare = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / example / script), *arguments],
        cwd=folder,
        env={**bare, "HOME": str(folder), "CUDA_VISIBLE_DEVICES": "", **environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("data", "model", "output"):
        (tmp_path / name).mkdir()
    return tmp_path


def make_data(example: str, folder: Path) -> Path:
    run(example, "make_data.py", "data/data.csv", folder=folder)
    return folder / "data" / "data.csv"


def train_as_documented(example: str, folder: Path, parameters: dict[str, object]) -> str:
    """Runs train.py with the arguments that the service's own convention has."""
    make_data(example, folder)
    return run(
        example,
        "train.py",
        *("--job-id=j1", "--data-path=data", "--output-path=model", f"--parameters={json.dumps(parameters)}"),
        folder=folder,
        MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db",
    )


def logged(folder: Path) -> set[str]:
    """Names of the metrics in MLflow's store."""
    with sqlite3.connect(folder / "mlflow.db") as store:
        names = {name for (name,) in store.execute("select distinct key from metrics")}
    store.close()
    return names


class TestEveryExample:
    def test_is_covered_here(self) -> None:
        assert tuple(sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())) == NAMES

    @pytest.mark.parametrize("name", NAMES)
    def test_has_a_script_its_data_and_a_page(self, name: str) -> None:
        assert (EXAMPLES / name / "train.py").is_file()
        assert (EXAMPLES / name / "make_data.py").is_file()
        assert f"examples/{name}/" in (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
    def test_compiles_and_imports_nothing_of_ours(self, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

        assert imported
        assert not {name.split(".")[0] for name in imported} & OURS

    @pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
    def test_fetches_nothing(self, path: Path) -> None:
        assert not re.search(r"https?://|fetch_|download", path.read_text(encoding="utf-8"))


@pytest.mark.frameworks
class TestCustom:
    def test_is_asked_as_it_was_trained(self, folder: Path) -> None:
        printed = train_as_documented("custom", folder, {"penalties": [0.1, 1.0]})
        assert re.search(r"^r2=0\.[3-6]", printed, re.MULTILINE)

        # The four functions give what the formula gives, for JSON and for CSV.
        check = (
            "import sys, json; sys.path.insert(0, sys.argv[1])\n"
            "import numpy as np, inference\n"
            "from train import predict\n"
            "rows = np.loadtxt('data/data.csv', delimiter=',', skiprows=1)[:5, :-1]\n"
            "model = inference.model_fn('model')\n"
            "bodies = {'application/json': json.dumps({'inputs': rows.tolist()}).encode(),\n"
            "          'text/csv': '\\n'.join(','.join(map(str, row)) for row in rows).encode()}\n"
            "for kind, body in bodies.items():\n"
            "    answer, _ = inference.output_fn(inference.predict_fn(inference.input_fn(body, kind), model), kind)\n"
            "    got = json.loads(answer)['predictions'] if 'json' in kind else [float(x) for x in answer.split()]\n"
            "    np.testing.assert_allclose(got, predict(model, rows))\n"
            "print('equal')"
        )
        done = subprocess.run(
            [sys.executable, "-c", check, str(EXAMPLES / "custom")],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.stdout == "equal\n", done.stderr


@pytest.mark.frameworks
class TestScriptMode:
    def test_runs_in_sagemakers_environment_alone(self, folder: Path) -> None:
        make_data("script_mode", folder)

        printed = run(
            "script_mode",
            "train.py",
            *("--max-leaf-nodes", "4"),
            folder=folder,
            SM_CHANNEL_TRAINING="data",
            SM_MODEL_DIR="model",
            SM_OUTPUT_DATA_DIR="output",
        )

        assert set(re.findall(r"^(\w+)=0\.\d+;$", printed, re.MULTILINE)) == CLASSIFICATION
        assert (folder / "model" / "model.joblib").is_file()
        assert json.loads((folder / "output" / "tree.json").read_text())["leaves"] <= 4


@pytest.mark.frameworks
class TestCheckpoints:
    def test_goes_on_where_it_stopped_and_ends_where_it_would_have(self, folder: Path) -> None:
        make_data("checkpoints", folder)
        there = {"SM_CHANNEL_TRAINING": "data", "SM_MODEL_DIR": "model"}

        whole = run("checkpoints", "train.py", "--epochs=4", folder=folder, SM_CHECKPOINT_DIR="one", **there)
        run("checkpoints", "train.py", "--epochs=2", folder=folder, SM_CHECKPOINT_DIR="two", **there)
        second = run("checkpoints", "train.py", "--epochs=4", folder=folder, SM_CHECKPOINT_DIR="two", **there)

        assert "goes on after epoch 2" in second
        assert "epoch 2/4" not in second
        assert whole.splitlines()[-1] == second.splitlines()[-1]
        assert float(whole.split("accuracy=")[1].rstrip(";\n")) > 0.9


@pytest.mark.frameworks
class TestXgboost:
    def test_prints_each_round_and_saves_the_booster(self, folder: Path) -> None:
        make_data("xgboost", folder)

        printed = run(
            "xgboost", "train.py", "--num_round", "8", folder=folder, SM_CHANNEL_TRAINING="data", SM_MODEL_DIR="model"
        )

        assert len(re.findall(r"validation-auc:([0-9.]+)", printed)) == 8
        assert set(re.findall(r"^(\w+)=0\.\d+$", printed, re.MULTILINE)) == CLASSIFICATION
        assert (folder / "model" / "model.ubj").stat().st_size > 1000


@pytest.mark.frameworks
class TestSklearn:
    @pytest.mark.parametrize("algorithm", ["random_forest", "svm"])
    def test_logs_to_mlflow_and_saves_with_joblib(self, folder: Path, algorithm: str) -> None:
        printed = train_as_documented("sklearn", folder, {"algorithm": algorithm, "folds": 2})

        assert "progress: step 2/2" in printed
        assert logged(folder) == CLASSIFICATION | {"fold_accuracy"}
        assert (folder / "model" / "model.joblib").is_file()


@pytest.mark.frameworks
class TestPytorch:
    def test_logs_each_epoch_and_exports_the_program(self, folder: Path) -> None:
        printed = train_as_documented("pytorch", folder, {"epochs": 2, "optimizer": "adamw"})

        assert "progress: epoch 2/2" in printed
        assert logged(folder) == CLASSIFICATION | {"loss"}
        assert (folder / "model" / "model.pt2").is_file()


@pytest.mark.frameworks
class TestTensorflow:
    def test_logs_each_epoch_and_saves_the_model(self, folder: Path) -> None:
        printed = train_as_documented("tensorflow", folder, {"epochs": 2})

        assert "progress: epoch 2/2" in printed
        assert logged(folder) >= CLASSIFICATION | {"loss", "val_loss"}
        assert (folder / "model" / "model.keras").is_file()
