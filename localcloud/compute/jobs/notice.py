"""What a job's log says first: that its image is not what runs."""

from __future__ import annotations

import subprocess
from functools import cache

VERSION_SECONDS = 10.0
_PRINT_VERSION = "import platform; print(platform.python_version())"


def image_notice(image: str, entrypoint: str, python: str) -> str:
    """The sentence for a command that begins with `entrypoint` and was meant for a container of `image`. *Blocking.*"""
    if entrypoint not in ("python3", "python"):
        return f"the compute emulator runs {entrypoint} of this machine in place of the image {image}"
    version = python_version(python)
    named = f"Python {version}" if version else "the Python"
    return f"the compute emulator runs {named} of this machine in place of the image {image}"


@cache
def python_version(python: str) -> str:
    """``3.11.7``; empty when the interpreter does not say. *Blocking*, the first time."""
    try:
        asked = subprocess.run(
            [python, "-I", "-c", _PRINT_VERSION], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip()
