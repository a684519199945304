"""What Chalice reads: .chalice/config.json and one policy file per function, generated from the tables of this package.

python -m infra.chalice_config          writes them
python -m infra.chalice_config --check  complains when the committed ones differ
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from infra import api, functions, names, permissions
from infra.grants import document
from infra.names import Json

PROJECT = Path(__file__).parent.parent
FOLDER = PROJECT / ".chalice"
CHALICE_STAGE = "service"
"""Chalice's word for an environment; ours are stacks, so there is one."""


def config(architecture: str = "x86_64") -> Json:
    """.chalice/config.json; `architecture` is that of the machines the functions run on (x86_64 or arm64)."""
    return {
        "version": "2.0",
        "app_name": "aimatrix",
        "autogen_policy": False,
        "lambda_architecture": architecture,
        "stages": {
            CHALICE_STAGE: {
                "api_gateway_stage": api.STAGE,
                "api_gateway_endpoint_type": api.ENDPOINT,
                "lambda_functions": {
                    function.config_name: {
                        "iam_policy_file": function.policy_file,
                        "lambda_timeout": functions.SHAPES[function.name].seconds,
                        "lambda_memory_size": functions.SHAPES[function.name].megabytes,
                    }
                    for function in names.FUNCTIONS
                },
            }
        },
    }


def files(architecture: str = "x86_64") -> dict[str, str]:
    """Every generated file: name and content."""
    documents = {"config.json": config(architecture)}
    documents |= {f.policy_file: document(permissions.grants(f)) for f in names.FUNCTIONS}
    return {name: json.dumps(content, indent=2) + "\n" for name, content in documents.items()}


def write(folder: Path, architecture: str = "x86_64") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files(architecture).items():
        (folder / name).write_text(content, encoding="utf-8")


def drift(folder: Path = FOLDER) -> list[str]:
    """Names of the committed files that are missing, stale or no longer generated."""
    expected = files()
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in expected.keys() | there.keys() if expected.get(name) != there.get(name))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generate .chalice/ from the tables of infra/.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a committed file differs")
    if parser.parse_args(argv).check:
        for name in (stale := drift()):
            print(f".chalice/{name} differs from what infra/ says: run python -m infra.chalice_config", file=sys.stderr)
        return 1 if stale else 0
    write(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
