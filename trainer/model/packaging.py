"""`prepare`: from a directory that a script left to a directory that an endpoint can serve."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from trainer.model.candidates import Candidate, UserCode, find_models, find_user_code
from trainer.model.prepared import Prepared
from trainer.model.probe import Report, probe
from trainer.model.staging import holds_files, stage_file, stage_tree
from trainer.model.versions import distributions_for, serving_requirements
from trainer.serving.generate import inference_source

DOCUMENT = "aimatrix-model.json"
SCHEMA = 1
SIBLING_BYTES = 1024 * 1024
SIBLINGS = 200
TEXT_BYTES = 1024 * 1024


def prepare(
    model_dir: Path,
    *,
    output_dir: Path,
    staging_dir: Path,
    script_dir: Path,
    framework: str,
    python: str,
    logged_model: Path | None = None,
    timeout_seconds: float = 120.0,
) -> Prepared | None:
    """Finds the model that a script left and lays out the directory that becomes `model.tar.gz`.

    Never raises for what a script left behind: a model that can't be recognised, read or loaded comes back with
    `servable` false and the reason.

    Args:
        model_dir: What the script saved as its model (`SM_MODEL_DIR`). Everything in it is archived.
        output_dir: The script's other output directory, looked at when `model_dir` holds no model file; only the
            model itself is taken from there. All of it is taken when `model_dir` is empty and `inference.py` loads the
            model: a script that knows `--output-path` alone leaves everything there, and only its own `model_fn` can
            tell which files it needs. May be the same directory as `model_dir`, and need not exist.
        staging_dir: Where the archive's content is laid out; created when missing, must be empty, and on the same disk
            as `model_dir` for hard links to work (it copies otherwise).
        script_dir: The directory of the training script: `inference.py`, its sibling modules and `requirements.txt`.
        framework: The job's framework; of several candidates, its own format comes first.
        python: The training environment's interpreter, which loads the model in a child process.
        logged_model: The downloaded directory of a model that the script logged to MLflow (it holds `MLmodel`).
        timeout_seconds: How long the child may take.

    Returns:
        What was found, or `None` when the script left no file at all (a link out of the directory is none), logged no
        model, and brought no `model_fn`.

    Raises:
        OSError: The staging directory can't be written.
    """
    user_code = find_user_code(script_dir, model_dir)
    candidates = find_models(model_dir, output_dir, logged_model, framework)
    makes_its_own = user_code is not None and "model_fn" in user_code.functions
    if not candidates and not makes_its_own and not holds_files(model_dir):
        return None
    staging_dir.mkdir(parents=True, exist_ok=True)
    whole = output_dir if makes_its_own and not holds_files(model_dir) else model_dir
    notes = stage_tree(whole, staging_dir) if whole.is_dir() else []
    taken = candidates[0] if candidates else None
    file = _stage_candidate(taken, whole, staging_dir) if taken is not None else None
    notes += _notes_on_choice(candidates, user_code)

    prepared = _judge(taken, file, user_code, staging_dir)
    if prepared.servable:
        prepared = _make_servable(prepared, taken, user_code, script_dir, framework, python, timeout_seconds)
    prepared = replace(prepared, notes=(*notes, *prepared.notes))
    _write_document(prepared, taken, framework, user_code)
    return prepared


def _stage_candidate(taken: Candidate, staged: Path, staging_dir: Path) -> str:
    """Makes sure the model is staged, where all of `staged` is; returns its path there."""
    if taken.root == staged:
        return taken.name
    if taken.kind == "mlflow":
        # In a directory of its own: MLflow keeps the model's modules in `code/`, which is SageMaker's name too.
        name = next(n for n in _names("mlflow") if not (staging_dir / n).exists())
        stage_tree(taken.path, staging_dir / name)
        return name
    name = next(n for n in _names(taken.path.name) if not (staging_dir / n).exists())
    stage_file(taken.path, staging_dir / name)
    return name


def _names(wanted: str) -> Iterator[str]:
    yield wanted
    stem, dot, suffix = wanted.partition(".")
    for number in range(1, 1000):
        yield f"{stem}-{number}{dot}{suffix}"


def _notes_on_choice(candidates: list[Candidate], user_code: UserCode | None) -> list[str]:
    notes = []
    if len(candidates) > 1:
        others = ", ".join(f"{c.name} ({c.kind})" for c in candidates[1:6])
        notes.append(f"the model is {candidates[0].name} ({candidates[0].kind}); not taken: {others}")
    if user_code is not None and not user_code.functions and user_code.problem is None:
        notes.append("inference.py defines none of model_fn, input_fn, predict_fn, output_fn, transform_fn: not used")
    return notes


def _judge(taken: Candidate | None, file: str | None, user_code: UserCode | None, staging_dir: Path) -> Prepared:
    """Kind and servability from the files alone."""
    if user_code is not None and user_code.problem is not None:
        return Prepared("custom", file, False, user_code.problem, staging_dir)
    if user_code is not None and user_code.functions:
        if "model_fn" in user_code.functions or (taken is not None and taken.reason is None):
            return Prepared("custom", file, True, None, staging_dir)
        cause = taken.reason if taken is not None else "no model file was recognised"
        return Prepared("custom", file, False, f"inference.py has no model_fn, and {cause}", staging_dir)
    if taken is None:
        known = ".joblib, .pkl, .json, .ubj, .keras, .h5, .pt, .pt2"
        reason = f"no file is in a known format ({known}): save the model in one of them or bring an inference.py"
        return Prepared("unknown", None, False, reason, staging_dir)
    model_id = _mlflow_model_id(staging_dir / (file or ".")) if taken.kind == "mlflow" else None
    return Prepared(taken.kind, file, taken.reason is None, taken.reason, staging_dir, mlflow_model_id=model_id)


def _make_servable(
    prepared: Prepared,
    taken: Candidate | None,
    user_code: UserCode | None,
    script_dir: Path,
    framework: str,
    python: str,
    timeout_seconds: float,
) -> Prepared:
    """Adds the code, then loads the model with it in a child of the training environment."""
    code = prepared.directory / "code"
    if code.exists() and not code.is_dir():
        return replace(prepared, servable=False, reason="the model has a file named code, where its code is to lie")
    code.mkdir(exist_ok=True)
    notes: list[str] = []
    if user_code is not None and user_code.functions:
        notes += _stage_user_code(user_code, script_dir, code)
    _write(code / "inference.py", inference_source())
    _write_document(prepared, taken, framework, user_code)
    model_kind = taken.kind if taken is not None else None
    wanted = distributions_for(model_kind, framework)
    report = probe(prepared.directory, python, wanted, timeout_seconds)
    model_requirements = prepared.directory / (prepared.file or ".") / "requirements.txt"
    _write(
        code / "requirements.txt",
        serving_requirements(
            report.versions,
            user=_text(script_dir / "requirements.txt"),
            model=_text(model_requirements) if model_kind == "mlflow" else "",
        ),
    )
    return _apply(prepared, report, notes)


def _apply(prepared: Prepared, report: Report, notes: list[str]) -> Prepared:
    if report.problem is not None:
        notes = [*notes, report.problem]
    reason = f"the model does not load in a process of its own: {report.error}" if report.loaded is False else None
    return replace(
        prepared,
        servable=reason is None,
        reason=reason,
        signature=report.signature,
        input_example=report.input_example,
        versions=report.versions,
        notes=(*prepared.notes, *notes),
    )


def _stage_user_code(user_code: UserCode, script_dir: Path, code: Path) -> list[str]:
    """The user's functions as `user_inference.py`, byte for byte, and the modules beside them that they may import."""
    content = user_code.path.read_bytes()
    own = code / "inference.py"
    if own.exists():  # staged from the model directory's own code/, and about to be replaced
        own.unlink()
    (code / "user_inference.py").unlink(missing_ok=True)
    (code / "user_inference.py").write_bytes(content)
    if user_code.path.parent != script_dir:
        return []
    siblings = [p for p in sorted(script_dir.glob("*.py")) if p.name != "inference.py" and p.is_file()]
    kept = [p for p in siblings if not p.is_symlink() and p.stat().st_size <= SIBLING_BYTES][:SIBLINGS]
    for path in kept:
        if not (code / path.name).exists():
            stage_file(path, code / path.name)
    return [f"{p.name} was left out of the model's code: too large, or a link" for p in siblings if p not in kept]


def _write_document(prepared: Prepared, taken: Candidate | None, framework: str, user_code: UserCode | None) -> None:
    document = {
        "schema": SCHEMA,
        "kind": prepared.kind,
        "file": prepared.file,
        "model_kind": taken.kind if taken is not None and taken.reason is None else None,
        "framework": framework,
        "functions": list(user_code.functions) if user_code is not None else [],
        "servable": prepared.servable,
        "reason": prepared.reason,
        "versions": prepared.versions,
        "signature": prepared.signature,
        "input_example": prepared.input_example,
        "mlflow_model_id": prepared.mlflow_model_id,
    }
    _write(prepared.directory / DOCUMENT, json.dumps(document, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    # Never through a hard link into the script's own directory.
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(TEXT_BYTES)


def _mlflow_model_id(home: Path) -> str | None:
    """`model_id` of an MLmodel file, a plain scalar at its top level."""
    for line in _lines(home / "MLmodel"):
        name, _, value = line.partition(":")
        if name == "model_id":
            value = value.strip()
            literal = value.startswith(("'", '"'))
            return (str(ast.literal_eval(value)) if literal else value) or None
    return None


def _lines(path: Path) -> Iterable[str]:
    return _text(path).splitlines()
