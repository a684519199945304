"""Packaging with models that need no framework: what is staged, said, and asked of the child process."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from trainer.model import KINDS, Prepared, prepare

MODEL_FN = "def model_fn(model_dir):\n    return 1\n"
PREDICT_FN = "def predict_fn(data, model):\n    return [model]\n"


class Left:
    """The directories a script leaves."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("model", "output", "code"):
            (root / name).mkdir()

    def write(self, name: str, content: str = "x") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def prepare(self, **changes: Any) -> Prepared | None:
        arguments: dict[str, Any] = {
            "output_dir": self.root / "output",
            "staging_dir": self.root / "staged",
            "script_dir": self.root / "code",
            "framework": "custom",
            "python": sys.executable,
            **changes,
        }
        return prepare(self.root / "model", **arguments)

    def prepared(self, **changes: Any) -> Prepared:
        found = self.prepare(**changes)
        assert found is not None
        assert found.kind in KINDS
        document = json.loads((found.directory / "aimatrix-model.json").read_text())
        assert (document["kind"], document["servable"]) == (found.kind, found.servable)
        return found


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return Left(tmp_path)


class TestNothing:
    def test_no_file_is_no_model(self, left: Left) -> None:
        (left.root / "model" / "empty").mkdir()
        assert left.prepare() is None
        assert not (left.root / "staged").exists()

    def test_directories_that_are_not_there_are_no_model(self, left: Left) -> None:
        nowhere = left.root / "nowhere"
        assert prepare(
            nowhere, output_dir=nowhere, staging_dir=left.root / "s", script_dir=nowhere, framework="x", python="p"
        ) is None  # fmt: skip

    def test_unknown_files_are_kept_and_not_servable(self, left: Left) -> None:
        left.write("model/weights.bin")
        found = left.prepared()
        assert (found.kind, found.file, found.servable) == ("unknown", None, False)
        assert found.reason is not None
        assert "bring an inference.py" in found.reason
        assert (found.directory / "weights.bin").exists()


class TestCustom:
    def test_the_users_code_is_kept_byte_for_byte_beside_the_generated_one(self, left: Left) -> None:
        code = "# -*- coding: latin-1 -*-\r\n" + MODEL_FN + PREDICT_FN
        left.write("code/inference.py", code)
        left.write("code/helper.py", "x = 1\n")
        left.write("code/train.py", "x = 1\n")
        left.write("code/requirements.txt", "requests==2.0\n")
        left.write("model/weights.bin")
        found = left.prepared()
        assert (found.kind, found.servable, found.reason) == ("custom", True, None)
        staged = found.directory / "code"
        assert (staged / "user_inference.py").read_bytes() == (left.root / "code" / "inference.py").read_bytes()
        assert sorted(p.name for p in staged.iterdir()) == [
            "helper.py", "inference.py", "requirements.txt", "train.py", "user_inference.py",
        ]  # fmt: skip
        assert (staged / "requirements.txt").read_text().startswith("requests==2.0\n")
        document = json.loads((found.directory / "aimatrix-model.json").read_text())
        assert document["functions"] == ["model_fn", "predict_fn"]

    def test_code_that_does_not_load_is_not_servable_and_says_why(self, left: Left) -> None:
        left.write("code/inference.py", "import nothing_of_that_name\n" + MODEL_FN + PREDICT_FN)
        found = left.prepared()
        assert not found.servable
        assert found.reason == (
            "the model does not load in a process of its own: ModuleNotFoundError: No module named "
            "'nothing_of_that_name'"
        )

    def test_it_gets_all_that_the_script_left_where_the_model_directory_is_empty(self, left: Left) -> None:
        load = "from pathlib import Path\n\n\ndef model_fn(d):\n    return Path(d, 'w.npz').read_text()\n\n\n"
        left.write("code/inference.py", load + PREDICT_FN)
        left.write("output/w.npz")
        left.write("output/parts/more.json", "{}")

        found = left.prepared()

        assert (found.kind, found.servable, found.reason) == ("custom", True, None)
        assert (found.directory / "w.npz").read_text() == "x"
        assert (found.directory / "parts" / "more.json").is_file()

    def test_it_gets_none_of_the_other_outputs_where_there_is_a_model_directory(self, left: Left) -> None:
        left.write("code/inference.py", MODEL_FN)
        left.write("model/w.npz")
        left.write("output/plot.png")

        assert not (left.prepared().directory / "plot.png").exists()

    def test_functions_without_a_model_to_load_are_not_servable(self, left: Left) -> None:
        left.write("code/inference.py", PREDICT_FN)
        left.write("model/weights.bin")
        assert left.prepared().reason == "inference.py has no model_fn, and no model file was recognised"

    def test_an_unrelated_inference_module_is_not_used(self, left: Left) -> None:
        left.write("code/inference.py", "def infer():\n    pass\n")
        left.write("model/weights.bin")
        found = left.prepared()
        assert found.kind == "unknown"
        assert "not used" in found.notes[0]

    def test_code_in_the_model_directory_is_used_without_touching_the_original(self, left: Left) -> None:
        left.write("model/code/inference.py", MODEL_FN + PREDICT_FN)
        found = left.prepared()
        assert (found.kind, found.servable) == ("custom", True)
        assert (left.root / "model/code/inference.py").read_text() == MODEL_FN + PREDICT_FN
        assert "Generated" in (found.directory / "code/inference.py").read_text()

    def test_a_file_in_the_place_of_the_code_directory_is_told(self, left: Left) -> None:
        left.write("model/code")
        left.write("code/inference.py", MODEL_FN + PREDICT_FN)
        found = left.prepared()
        assert not found.servable
        assert found.reason is not None
        assert "a file named code" in found.reason


class TestTheChild:
    def test_a_child_that_hangs_costs_the_signature_only(self, left: Left) -> None:
        left.write("code/inference.py", "import time\ntime.sleep(60)\n" + MODEL_FN)
        found = left.prepared(timeout_seconds=0.5)
        assert found.servable
        assert found.notes == ("the model could not be inspected within 0.5 s",)
        assert "python" in found.versions

    def test_a_child_that_crashes_costs_the_signature_only(self, left: Left) -> None:
        left.write("code/inference.py", "import os\nos.abort()\n" + MODEL_FN)
        found = left.prepared()
        assert found.servable
        assert found.notes == ("the process that inspected the model ended with code -6",)

    def test_what_the_child_started_ends_with_it(self, left: Left) -> None:
        left.write(
            "code/inference.py",
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            f"open({str(left.root / 'pid')!r}, 'w').write(str(child.pid))\n" + MODEL_FN + PREDICT_FN,
        )
        assert left.prepared().servable
        pid = int((left.root / "pid").read_text())
        # SIGKILL is on its way; nobody here is the orphan's parent, so it may stay a zombie.
        deadline = time.monotonic() + 10
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_an_interpreter_that_is_not_there_costs_the_signature_only(self, left: Left) -> None:
        left.write("code/inference.py", MODEL_FN + PREDICT_FN)
        found = left.prepared(python="/nowhere/python")
        assert found.servable
        assert "No such file" in found.notes[0]

    def test_it_gets_no_credentials(self, left: Left) -> None:
        left.write(
            "code/inference.py",
            f"import os\nopen({str(left.root / 'seen')!r}, 'w').write(' '.join(os.environ))\n" + MODEL_FN + PREDICT_FN,
        )
        os.environ["AWS_SECRET_ACCESS_KEY"] = "secret"
        try:
            left.prepared()
        finally:
            del os.environ["AWS_SECRET_ACCESS_KEY"]
        assert "AWS_" not in (left.root / "seen").read_text()


class TestMlflow:
    MLMODEL = "flavors:\n  python_function:\n    loader_module: x\nmodel_id: 'm-0a'\n"

    def test_a_logged_model_lies_in_a_directory_of_its_own(self, left: Left) -> None:
        left.write("logged/MLmodel", self.MLMODEL)
        left.write("logged/requirements.txt", "mlflow==3.0\nscikit-learn==1.0\n")
        left.write("model/mlflow", "a file of the user's with that name")
        found = left.prepared(logged_model=left.root / "logged", python="/nowhere")
        assert (found.kind, found.file, found.mlflow_model_id) == ("mlflow", "mlflow-1", "m-0a")
        assert (found.directory / "mlflow-1" / "MLmodel").exists()
        requirements = (found.directory / "code" / "requirements.txt").read_text()
        assert requirements == "mlflow==3.0\nscikit-learn==1.0\n"

    def test_the_users_inference_script_comes_before_it(self, left: Left) -> None:
        left.write("logged/MLmodel", self.MLMODEL)
        left.write("code/inference.py", MODEL_FN + PREDICT_FN)
        assert left.prepared(logged_model=left.root / "logged").kind == "custom"
