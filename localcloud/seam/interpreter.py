"""The Python that Lambda workers run: the standard library, boto3 with what it needs, and nothing else of ours.

A package that is installed beside the launcher but missing from the zip must fail here as it would on AWS. The directory
has the form of a virtual environment, made of links, so that it costs no space and follows upgrades of boto3.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# What AWS Lambda's Python runtime brings along.
PROVIDED = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")


def build(directory: Path) -> Path:
    """Make the environment, or bring an older one up to date; returns its interpreter."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys._base_executable)  # type: ignore[attr-defined]  # the venv module uses it too
    packages = directory / "lib" / version / "site-packages"
    interpreter = directory / "bin" / "python"
    packages.mkdir(parents=True, exist_ok=True)
    interpreter.parent.mkdir(exist_ok=True)
    (directory / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    _link(interpreter, base)
    for name in PROVIDED:
        source = _location(name)
        _link(packages / source.name, source)
    return interpreter


def _location(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{name} is not installed; it is part of AWS Lambda's runtime")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
