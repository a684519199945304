"""Runs in the training environment's Python: loads a staged model and says what it is. See `probe`.

    python probe_child.py DIRECTORY REPORT [DISTRIBUTION...]

Writes JSON lines to REPORT, each adding to the one before, so that a crash loses only what was not yet known.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

EXAMPLE_BYTES = 16 * 1024


def main(arguments: list[str]) -> int:
    directory, report, distributions = Path(arguments[0]), Path(arguments[1]), arguments[2:]
    with report.open("w", encoding="utf-8") as stream:

        def say(**members: Any) -> None:
            stream.write(json.dumps(members) + "\n")
            stream.flush()

        say(versions=_versions(distributions))
        try:
            inference = _load_inference(directory)
            model = inference.model_fn(str(directory))
        except Exception as error:  # noqa: BLE001 - whatever the model's own code raises is the finding
            say(loaded=False, error=_one_line(error))
            return 0
        say(loaded=True)
        _describe(inference, model, say)
    return 0


def _versions(distributions: list[str]) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in distributions:
        installed = next(iter(metadata.distributions(name=name)), None)
        if installed is not None:
            found[name] = installed.version
    return found


def _load_inference(directory: Path) -> Any:
    path = directory / "code" / "inference.py"
    sys.path[0] = str(path.parent)
    spec = importlib.util.spec_from_file_location("inference", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["inference"] = module
    spec.loader.exec_module(module)
    return module


def _describe(inference: Any, model: Any, say: Any) -> None:
    """Tells the signature; tries the example out through all four functions and keeps it only when it was answered."""
    if not hasattr(model, "describe"):  # what a user's model_fn returned for the user's predict_fn
        return
    try:
        told = model.describe()
    except Exception as error:  # noqa: BLE001 - a framework may fail in any way when asked about itself
        say(problem=f"the model does not tell its signature: {_one_line(error)}")
        return
    signature, example = told.get("signature"), told.get("input_example")
    say(signature=signature)
    if example is None:
        return
    body = json.dumps(example)
    if len(body) > EXAMPLE_BYTES:
        return
    try:
        answer, _ = inference.output_fn(
            inference.predict_fn(inference.input_fn(body, "application/json"), model), "application/json"
        )
    except Exception as error:  # noqa: BLE001 - the user's functions may raise anything
        say(problem=f"no example request was found: {_one_line(error)}")
        return
    say(input_example=example)
    if signature is not None and not signature.get("outputs"):
        say(signature={**signature, "outputs": _outputs(json.loads(answer))})


def _outputs(answer: Any) -> list[dict[str, Any]] | None:
    """The predictions' type and shape as a tensor, where they have one."""
    shape: list[int] = []
    value = answer.get("predictions") if isinstance(answer, dict) else None
    while isinstance(value, list) and value:
        shape.append(len(value))
        value = value[0]
    kinds = {bool: "bool", int: "int64", float: "float64", str: "str"}
    if not shape or type(value) not in kinds:
        return None
    return [{"type": "tensor", "tensor-spec": {"dtype": kinds[type(value)], "shape": [-1, *shape[1:]]}}]


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:400]}" if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
