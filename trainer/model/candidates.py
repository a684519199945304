"""What of all that a script left is the model: the candidates, best first.

1. `inference.py` beside the script (or in `code/` of the model directory) that defines `model_fn`, `predict_fn`,
   `input_fn`, `output_fn` or `transform_fn`: the user says how to serve, so that is how it is served.
2. The model the script logged to MLflow.
3. An MLflow model directory inside the model directory.
4. A native file in the model directory, at most `DEPTH` directories down. Files that can be served come before those
   that can't; then the format of the job's framework; then a file named `model.*`; then the format in the order of
   `FORMATS`; then the shortest path, then the alphabet.
5. The same in the output directory.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.model.formats import Format, recognise

DEPTH = 3
MOST_FILES = 10_000
CODE_BYTES = 1024 * 1024
MLMODEL_BYTES = 1024 * 1024
FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")
FORMATS = ("sklearn", "xgboost", "keras", "torchscript", "torch_export", "unknown")
OF_FRAMEWORK = {
    "sklearn": ("sklearn",),
    "scikit-learn": ("sklearn",),
    "xgboost": ("xgboost",),
    "tensorflow": ("keras",),
    "pytorch": ("torchscript", "torch_export"),
}


@dataclass(frozen=True)
class Candidate:
    """One possible model. `path` lies in `root`, which says where it came from."""

    kind: str
    path: Path
    root: Path
    reason: str | None = None

    @property
    def name(self) -> str:
        return str(self.path.relative_to(self.root)) if self.path != self.root else "."


@dataclass(frozen=True)
class UserCode:
    """A user's `inference.py`. `functions` is what it defines of `FUNCTIONS`; `problem` why it could not be read."""

    path: Path
    functions: tuple[str, ...]
    problem: str | None = None


def find_user_code(script_dir: Path, model_dir: Path) -> UserCode | None:
    for path in (script_dir / "inference.py", model_dir / "code" / "inference.py"):
        if path.is_file() and not path.is_symlink():
            return _read_user_code(path)
    return None


def _read_user_code(path: Path) -> UserCode:
    try:
        if path.stat().st_size > CODE_BYTES:
            return UserCode(path, (), f"inference.py is larger than {CODE_BYTES} bytes")
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        return UserCode(path, (), f"inference.py has a syntax error in line {error.lineno}: {error.msg}")
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return UserCode(path, (), f"inference.py can't be read: {error}")
    defined = set(_top_level_names(tree))
    return UserCode(path, tuple(name for name in FUNCTIONS if name in defined))


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def find_models(model_dir: Path, output_dir: Path, logged_model: Path | None, framework: str) -> list[Candidate]:
    """Every candidate of steps 2 to 5, best first."""
    found = []
    if logged_model is not None and (logged_model / "MLmodel").is_file():
        found.append(_mlflow(logged_model, logged_model))
    for root in dict.fromkeys((model_dir, output_dir)):
        found += _mlflow_directories(root) if root == model_dir else []
        found += sorted(_native_files(root), key=lambda candidate: _rank(candidate, framework))
    return found


def _mlflow_directories(root: Path) -> list[Candidate]:
    homes = [path.parent for path in _files(root) if path.name == "MLmodel"]
    return [_mlflow(home, root) for home in sorted(homes, key=lambda home: (len(home.parts), str(home)))]


def _mlflow(home: Path, root: Path) -> Candidate:
    with (home / "MLmodel").open(encoding="utf-8", errors="replace") as stream:
        document = stream.read(MLMODEL_BYTES)
    if any(line.strip() == "python_function:" for line in document.splitlines()):
        return Candidate("mlflow", home, root)
    return Candidate("mlflow", home, root, "the MLflow model has no python_function flavor, so MLflow can't serve it")


def _native_files(root: Path) -> Iterator[Candidate]:
    inside_mlflow = {home.path for home in _mlflow_directories(root)}
    for path in _files(root):
        if path.name == "saved_model.pb":
            reason = "a TensorFlow SavedModel directory: save the Keras model with model.save('model.keras')"
            yield Candidate("unknown", path, root, reason)
        elif not inside_mlflow.intersection(path.parents):
            recognised: Format | None = recognise(path)
            if recognised is not None:
                yield Candidate(recognised.kind, path, root, recognised.reason)


def _rank(candidate: Candidate, framework: str) -> tuple[bool, bool, bool, int, int, str]:
    return (
        candidate.reason is not None,
        candidate.kind not in OF_FRAMEWORK.get(framework, ()),
        candidate.path.stem.lower() != "model",
        FORMATS.index(candidate.kind),
        len(candidate.path.parts),
        str(candidate.path),
    )


def _files(root: Path) -> Iterator[Path]:
    """Regular files under `root`, by breadth; symbolic links are not looked through."""
    level, seen = [root], 0
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for directory in level:
            if directory.is_symlink() or not directory.is_dir():
                continue
            for path in sorted(directory.iterdir()):
                seen += 1
                if seen > MOST_FILES:
                    return
                if path.is_symlink():
                    continue
                if path.is_dir():
                    below.append(path)
                elif path.is_file():
                    yield path
        level = below
