"""`code/requirements.txt` on a laptop: nothing is installed that the interpreter has already.

AWS's images install the file at start. Here the model is usually served by the environment that trained it, so a look
at what is installed is all it takes; otherwise a cached environment is built, the same one that a training job with this
file would get.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any


def interpreter_for(requirements: Path, environ: Mapping[str, str]) -> str:
    """The Python that satisfies the file: this one, or that of a cached environment under `AIMATRIX_ENV_CACHE`.

    Raises:
        trainer.errors.RequirementsError: The requirements can't be installed.
    """
    if not requirements.is_file():
        return sys.executable
    missing = list(unsatisfied(requirements.read_text(encoding="utf-8")))
    if not missing:
        return sys.executable
    print(f"not installed here: {', '.join(missing[:10])}", flush=True)
    project = str(Path(__file__).resolve().parents[2])
    sys.path.append(project)
    try:
        from trainer.console import Console
        from trainer.requirements import install
    finally:
        sys.path.remove(project)
    return str(install(requirements, environ=environ, console=Console(), python=Path(sys.executable)))


def unsatisfied(text: str) -> Iterator[str]:
    """The requirements that what is installed does not meet. A line that is no plain requirement counts as not met."""
    requirement_class, invalid = _packaging()
    for line in text.replace("\\\n", " ").splitlines():
        line = line.split(" #")[0].split(" --")[0].strip()
        if not line or line.startswith(("#", "-")):
            continue  # options such as an index say where to look, not what for
        try:
            requirement = requirement_class(line)
        except invalid:
            yield line
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        installed = next(iter(metadata.distributions(name=requirement.name)), None)
        if requirement.url or installed is None or not requirement.specifier.contains(installed.version, True):
            yield line


def _packaging() -> tuple[Any, type[Exception]]:
    """The packaging library, or the copy that pip carries."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import (  # type: ignore[assignment]
            InvalidRequirement,
            Requirement,
        )
    return Requirement, InvalidRequirement
