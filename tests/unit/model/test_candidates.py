from __future__ import annotations

from pathlib import Path

import pytest

from trainer.model.candidates import find_models, find_user_code

PYFUNC = "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\nmodel_id: m-1\n"


def write(path: Path, content: bytes | str = b"\x80\x04N.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class Places:
    def __init__(self, root: Path) -> None:
        self.model_dir, self.output_dir, self.script_dir = root / "model", root / "output", root / "code"
        for place in (self.model_dir, self.output_dir, self.script_dir):
            place.mkdir()

    def found(self, framework: str = "sklearn", logged: Path | None = None) -> list[str]:
        return [c.name for c in find_models(self.model_dir, self.output_dir, logged, framework)]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


class TestOrder:
    def test_a_logged_mlflow_model_comes_before_files(self, places: Places, tmp_path: Path) -> None:
        write(places.model_dir / "model.joblib")
        write(tmp_path / "logged" / "MLmodel", PYFUNC)
        assert places.found(logged=tmp_path / "logged") == [".", "model.joblib"]

    def test_an_mlflow_directory_comes_before_files_and_hides_its_own(self, places: Places) -> None:
        write(places.model_dir / "a.joblib")
        write(places.model_dir / "saved" / "MLmodel", PYFUNC)
        write(places.model_dir / "saved" / "model.pkl")
        assert places.found() == ["saved", "a.joblib"]

    def test_the_format_of_the_jobs_framework_comes_first(self, places: Places) -> None:
        write(places.model_dir / "model.joblib")
        write(places.model_dir / "trees.json", '{"learner": {}}')
        assert places.found("xgboost") == ["trees.json", "model.joblib"]
        assert places.found("sklearn") == ["model.joblib", "trees.json"]

    def test_a_file_named_model_comes_before_others_then_the_shortest_path(self, places: Places) -> None:
        for name in ("a.joblib", "sub/b.joblib", "model.pkl", "b.joblib"):
            write(places.model_dir / name)
        assert places.found() == ["model.pkl", "a.joblib", "b.joblib", "sub/b.joblib"]

    def test_what_can_be_served_comes_before_what_can_not(self, places: Places) -> None:
        write(places.model_dir / "model.onnx", b"onnx")
        write(places.model_dir / "zzz.joblib")
        assert places.found("pytorch") == ["zzz.joblib", "model.onnx"]

    def test_the_output_directory_comes_last(self, places: Places) -> None:
        write(places.output_dir / "model.joblib")
        write(places.model_dir / "other.joblib")
        assert places.found() == ["other.joblib", "model.joblib"]

    def test_one_directory_for_both_is_looked_at_once(self, places: Places) -> None:
        write(places.model_dir / "model.joblib")
        assert [c.name for c in find_models(places.model_dir, places.model_dir, None, "sklearn")] == ["model.joblib"]


class TestWhatIsLookedAt:
    def test_links_and_pipes_are_not_read(self, places: Places, tmp_path: Path) -> None:
        import os

        secret = write(tmp_path / "secret.joblib")
        (places.model_dir / "model.joblib").symlink_to(secret)
        (places.model_dir / "folder").symlink_to(tmp_path)
        os.mkfifo(places.model_dir / "pipe.pkl")
        assert places.found() == []

    def test_files_too_deep_are_not_looked_for(self, places: Places) -> None:
        write(places.model_dir / "1/2/3/model.joblib")
        write(places.model_dir / "1/2/3/4/model.joblib")
        assert places.found() == ["1/2/3/model.joblib"]

    def test_an_mlflow_model_without_python_function_says_so(self, places: Places) -> None:
        write(places.model_dir / "MLmodel", "flavors:\n  crate:\n    version: 1\n")
        (candidate,) = find_models(places.model_dir, places.output_dir, None, "custom")
        assert candidate.reason is not None
        assert "python_function" in candidate.reason

    def test_a_saved_model_directory_says_what_to_do(self, places: Places) -> None:
        write(places.model_dir / "1" / "saved_model.pb", b"x")
        (candidate,) = find_models(places.model_dir, places.output_dir, None, "tensorflow")
        assert candidate.reason is not None
        assert "model.save('model.keras')" in candidate.reason


class TestUserCode:
    def test_functions_are_found_however_they_are_defined(self, places: Places) -> None:
        write(
            places.script_dir / "inference.py",
            "from handlers import predict_fn\nimport x as input_fn\noutput_fn = lambda p, a: p\ndef model_fn(d): ...\n",
        )
        code = find_user_code(places.script_dir, places.model_dir)
        assert code is not None
        assert code.functions == ("model_fn", "input_fn", "predict_fn", "output_fn")

    def test_a_syntax_error_is_told_with_its_line(self, places: Places) -> None:
        write(places.script_dir / "inference.py", "x = 1\ndef model_fn(:\n")
        code = find_user_code(places.script_dir, places.model_dir)
        assert code is not None
        assert code.problem is not None
        assert "syntax error in line 2" in code.problem

    @pytest.mark.parametrize("content", ["(" * 100_000, "x" * 2_000_000, "\0"])
    def test_a_hostile_file_is_a_problem_not_an_exception(self, places: Places, content: str) -> None:
        write(places.script_dir / "inference.py", content)
        code = find_user_code(places.script_dir, places.model_dir)
        assert code is not None
        assert code.problem is not None

    def test_the_model_directory_may_bring_its_own(self, places: Places) -> None:
        write(places.model_dir / "code" / "inference.py", "def model_fn(d): ...\n")
        code = find_user_code(places.script_dir, places.model_dir)
        assert code is not None
        assert code.path == places.model_dir / "code" / "inference.py"
