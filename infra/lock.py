"""Prints the exact versions of everything installed, for constraints.txt: `make lock`.

pyproject.toml pins what we use ourselves; constraints.txt pins what that brings along, so that a machine set up next year
gets what was tested.
"""

from __future__ import annotations

import sys
from importlib.metadata import distributions

# The project itself, and what a fresh virtual environment brings.
_LEFT_OUT = {"aimatrix-training", "pip", "setuptools", "wheel"}


def lines() -> list[str]:
    """`name==version` of every installed distribution, without local version labels such as `+cpu`."""
    found = {
        each.metadata["Name"].lower().replace("_", "-"): each.version.partition("+")[0] for each in distributions()
    }
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in _LEFT_OUT]


def main() -> None:
    sys.stdout.write("# Written by `make lock`: all versions that the tests ran with.\n")
    sys.stdout.writelines(f"{line}\n" for line in lines())


if __name__ == "__main__":
    main()
