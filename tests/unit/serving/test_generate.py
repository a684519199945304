from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.serving.generate import inference_source, join


class TestInferenceSource:
    def test_it_stands_alone(self, tmp_path: Path) -> None:
        (tmp_path / "inference.py").write_text(inference_source())
        check = (
            "import inference, sys\n"
            "assert all(callable(getattr(inference, n)) for n in ('model_fn', 'input_fn', 'predict_fn', 'output_fn'))\n"
            "heavy = {'trainer', 'numpy', 'mlflow', 'torch', 'keras', 'sklearn', 'xgboost', 'pandas'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-S", "-c", check], cwd=tmp_path, check=True)

    def test_it_names_no_module_of_ours(self) -> None:
        imported = {
            (node.module or "").split(".")[0]
            for node in ast.walk(ast.parse(inference_source()))
            if isinstance(node, ast.ImportFrom)
        }
        assert "trainer" not in imported

    def test_it_is_valid_for_python_3_9(self) -> None:
        ast.parse(inference_source(), feature_version=(3, 9))

    def test_it_is_the_same_every_time(self) -> None:
        assert inference_source() == inference_source()


class TestJoin:
    def test_two_modules_may_not_define_the_same_name(self) -> None:
        with pytest.raises(ValueError, match="b defines x, which another module defines too"):
            join([("a", "x = 1\n"), ("b", "def x(): ...\n")])

    def test_imports_are_gathered_and_own_ones_dropped(self) -> None:
        joined = join(
            [
                ("a", '"""First."""\nimport json\nx = 1\n'),
                (
                    "b",
                    (
                        '"""Second."""\nimport json\nfrom trainer.a import (\n    x,\n)\n'
                        "def f():\n    from trainer.a import x\n    return x\n"
                    ),
                ),
            ]
        )
        assert joined.count("import json") == 1
        assert "trainer.a" not in joined
        scope: dict[str, object] = {}
        exec(compile(joined, "joined", "exec"), scope)  # noqa: S102 - our own text, made two lines above
        assert scope["x"] == 1
