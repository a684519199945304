"""The container image a framework is trained and served in: AWS's own, so nothing has to be built to install this.

The table is data (`chalicelib/data/images.json`), written by `python -m infra.facts.images`. A user's own
`docker_image` goes before it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Literal

Scope = Literal["training", "inference"]


class UnknownImage(LookupError):
    """AWS publishes no image for this, as far as the table knows."""


def training_image(framework: str, gpu: bool, region: str) -> str:
    """Where the image lies that trains a framework.

    Raises:
        UnknownImage: a framework or region that is not in the table.
    """
    return _uri("training", framework, gpu, region)


def inference_image(framework: str, gpu: bool, region: str) -> str:
    """Where the image lies that serves a framework's models with `code/inference.py`.

    Raises:
        UnknownImage: a framework or region that is not in the table.
    """
    return _uri("inference", framework, gpu, region)


def _uri(scope: Scope, framework: str, gpu: bool, region: str) -> str:
    table = _table()
    try:
        image = table["images"][scope][framework]["gpu" if gpu else "cpu"]
        place = table["regions"][region]
        # Two registries, by who publishes: the deep learning containers, and the algorithms.
        account = place["algorithms" if image.startswith("sagemaker-") else "frameworks"]
    except KeyError as error:
        message = f"AWS publishes no {scope} image for {framework} in {region} ({error}): set docker_image"
        raise UnknownImage(message) from None
    return f"{account}.dkr.ecr.{region}.{place['domain']}/{image}"


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(resources.files("chalicelib").joinpath("data/images.json").read_text("utf-8"))
    return table
