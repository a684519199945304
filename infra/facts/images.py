"""Writes `chalicelib/data/images.json`: which of AWS's own container images trains and serves which framework.

`python -m infra.facts.images`, with the extra `images` installed (best into an environment of its own).

The versions are not typed in: for each framework it is the newest that AWS lists both for training and for inference,
so that a model is served by the version that made it. Two entries stand in for another framework:

- TensorFlow is served by the PyTorch image. Its own inference image is TensorFlow Serving, which does not run the four
  functions of `code/inference.py`; the PyTorch image does, and installs TensorFlow from `code/requirements.txt`.
- `custom` gets PyTorch's images: a plain Python with the scientific packages, with and without CUDA.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[2] / "chalicelib" / "data" / "images.json"

Retrieve = Callable[..., str]
"""`sagemaker.image_uris.retrieve`."""
Configuration = Callable[[str], Mapping[str, Any]]
"""`sagemaker.image_uris.config_for_framework`: what the SDK knows of a framework."""

SCOPES = ("training", "inference")
FRAMEWORKS = ("sklearn", "xgboost", "pytorch", "tensorflow")
# AWS publishes its algorithms (scikit-learn and XGBoost among them) and its deep learning containers from
# different accounts.
REGISTRIES = {"sklearn": "algorithms", "xgboost": "algorithms", "pytorch": "frameworks", "tensorflow": "frameworks"}
STAND_INS = {
    ("inference", "tensorflow"): "pytorch",
    ("training", "custom"): "pytorch",
    ("inference", "custom"): "pytorch",
}
# One instance type for each kind of processor: the SDK asks for a type, and looks only at its family.
PROCESSORS = {"cpu": "ml.m5.xlarge", "gpu": "ml.g4dn.xlarge"}


class IrregularImage(ValueError):
    """An image address that does not follow the table's pattern, so the table would tell a lie about it."""


@dataclass(frozen=True)
class _Choice:
    framework: str
    version: str
    python: str | None
    processors: tuple[str, ...]
    regions: tuple[str, ...]


def build(configuration: Configuration, retrieve: Retrieve, sdk_version: str) -> dict[str, Any]:
    """The whole table.

    Raises:
        IrregularImage: an address is not `<account>.dkr.ecr.<region>.<domain>/<repository>:<tag>` with the account of
            its registry and the same repository and tag in each region.
    """
    regions: dict[str, dict[str, str]] = {}
    images: dict[str, dict[str, dict[str, str]]] = {scope: {} for scope in SCOPES}
    for framework in FRAMEWORKS:
        for scope in SCOPES:
            if (scope, framework) in STAND_INS:
                continue
            choice = _newest(framework, scope, configuration(framework))
            images[scope][framework] = {
                processor: _image(choice, scope, processor, retrieve, regions) for processor in PROCESSORS
            }
    for (scope, framework), other in STAND_INS.items():
        images[scope][framework] = images[scope][other]
    return {
        "source": f"sagemaker.image_uris of the SageMaker Python SDK {sdk_version}; written by infra/facts/images.py",
        "images": {scope: dict(sorted(images[scope].items())) for scope in SCOPES},
        "regions": dict(sorted(regions.items())),
    }


def _newest(framework: str, scope: str, known: Mapping[str, Any]) -> _Choice:
    versions = [version for version in known[scope]["versions"] if _served(framework, version, known)]
    version = max(versions, key=_order)
    details = known[scope]["versions"][version]
    processors = details.get("processors") or known[scope].get("processors") or ("cpu", "gpu")
    pythons = [each for each in details.get("py_versions", []) if each != "py3"]
    return _Choice(framework, version, max(pythons, default=None), tuple(processors), tuple(details["registries"]))


def _served(framework: str, version: str, known: Mapping[str, Any]) -> bool:
    """Whether AWS lists a version for inference too, where the framework's own image serves it."""
    return ("inference", framework) in STAND_INS or version in known["inference"]["versions"]


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.replace("-", ".").split("."))


def _image(choice: _Choice, scope: str, processor: str, retrieve: Retrieve, regions: dict[str, dict[str, str]]) -> str:
    """Repository and tag, the same in each region; notes each region's account and domain on the way."""
    usable = processor if processor in choice.processors else "cpu"
    registry = REGISTRIES[choice.framework]
    found = set()
    for region in choice.regions:
        uri = retrieve(
            choice.framework,
            region,
            version=choice.version,
            py_version=choice.python,
            instance_type=PROCESSORS[usable],
            image_scope=scope,
        )
        host, _, image = uri.partition("/")
        account, _, domain = host.partition(f".dkr.ecr.{region}.")
        place = regions.setdefault(region, {"domain": domain})
        if place["domain"] != domain or place.setdefault(registry, account) != account:
            raise IrregularImage(f"{uri} does not fit {place}")
        found.add(image)
    if len(found) != 1:
        raise IrregularImage(f"{choice.framework} has several images: {sorted(found)}")
    return found.pop()


def render(table: Mapping[str, Any]) -> str:
    """JSON with one line for each framework and each region, so that a change is a readable difference."""

    def block(entries: Mapping[str, Any], indent: str) -> str:
        lines = ",\n".join(f"{indent}  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
        return f"{{\n{lines}\n{indent}}}"

    scopes = ",\n".join(f'    "{scope}": {block(images, "    ")}' for scope, images in table["images"].items())
    return (
        f'{{\n  "source": {json.dumps(table["source"])},\n  "images": {{\n{scopes}\n  }},\n'
        f'  "regions": {block(table["regions"], "  ")}\n}}\n'
    )


def main() -> int:
    # The SDK logs a line for every argument that an image does not need.
    logging.disable(logging.WARNING)
    try:
        import sagemaker
        from sagemaker import image_uris
    except ImportError:
        print("The SageMaker SDK is not installed: pip install 'aimatrix-training[images]'", file=sys.stderr)
        return 1
    table = build(image_uris.config_for_framework, image_uris.retrieve, sagemaker.__version__)
    TABLE.write_text(render(table), encoding="utf-8")
    print(f"{TABLE}: {len(table['regions'])} regions", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
