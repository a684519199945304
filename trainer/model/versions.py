"""Which library versions an endpoint needs: those that trained the model."""

from __future__ import annotations

import re

# One line per library; of several distributions that provide the same module, whichever is installed.
NUMERICS = ("numpy", "scipy", "pandas")
LIBRARIES = {
    "sklearn": ("scikit-learn", "joblib", *NUMERICS),
    "xgboost": ("xgboost", "xgboost-cpu", "scikit-learn", *NUMERICS),
    "keras": ("keras", "tensorflow", "tensorflow-cpu", "h5py", "numpy"),
    "torchscript": ("torch", "numpy"),
    "torch_export": ("torch", "numpy"),
    "mlflow": ("mlflow", "mlflow-skinny", "pandas", "numpy"),
}
OF_FRAMEWORK = {
    "sklearn": LIBRARIES["sklearn"],
    "scikit-learn": LIBRARIES["sklearn"],
    "xgboost": LIBRARIES["xgboost"],
    "tensorflow": LIBRARIES["keras"],
    "pytorch": LIBRARIES["torchscript"],
}
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def distributions_for(kind: str | None, framework: str) -> tuple[str, ...]:
    """What to ask the training environment about: the libraries of the model's kind, and of the job's framework."""
    pickled = LIBRARIES["xgboost"] if framework == "xgboost" and kind == "sklearn" else ()
    of_kind = LIBRARIES.get(kind or "", OF_FRAMEWORK.get(framework, ("numpy",)))
    return tuple(dict.fromkeys((*of_kind, *pickled)))


def serving_requirements(versions: dict[str, str], *, user: str, model: str) -> str:
    """`code/requirements.txt`: the user's lines, the MLflow model's, then the versions that trained it.

    A library is named once; the first to name it decides. A local version (`2.13.0+cpu`) loses its label, because
    package indexes do not know it.
    """
    if "--hash=" in user:
        return user  # pip then wants the hash of every package, and we have none
    lines: list[str] = []
    named: set[str] = set()
    trained = [f"{name}=={version.split('+')[0]}" for name, version in versions.items() if name != "python"]
    for line in (*user.splitlines(), *model.splitlines(), *trained):
        text = line.split(" #")[0].strip()
        match = _NAME.match(text)
        if not text or text.startswith("#"):
            continue
        name = _normal(match.group(1)) if match is not None else ""
        if not name or name not in named:
            lines.append(text)
            named.add(name)
    return "".join(f"{line}\n" for line in lines)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
