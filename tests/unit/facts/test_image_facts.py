from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.facts.images import TABLE, IrregularImage, build, render

REGISTRIES = {"us-east-1": "111111111111", "cn-north-1": "222222222222"}


def versions(*names: str, python: str | None = None) -> dict[str, Any]:
    details = {"registries": REGISTRIES, **({"py_versions": [python]} if python else {})}
    return {"versions": dict.fromkeys(names, details)}


class Sdk:
    """Knows of images what the SageMaker SDK knows, in its own form."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {
            "sklearn": {"training": versions("1.0-1", "1.2-1", "1.4-2"), "inference": versions("1.0-1", "1.2-1")},
            "xgboost": {"training": versions("1.7-1", "3.0-5"), "inference": versions("1.7-1", "3.0-5")},
            "pytorch": {
                "training": {**versions("2.9.0", "2.10.0", "2.11.0", python="py312"), "processors": ["cpu", "gpu"]},
                "inference": {**versions("2.9.0", "2.10.0", python="py312"), "processors": ["cpu", "gpu"]},
            },
            "tensorflow": {
                "training": {**versions("2.18.0", "2.19.0", python="py312"), "processors": ["cpu", "gpu"]},
                "inference": versions("2.18.0"),
            },
        }
        for scope in ("training", "inference"):
            for details in self.known["sklearn"][scope]["versions"].values():
                details["processors"] = ["cpu"]

    def configuration(self, framework: str) -> Mapping[str, Any]:
        return self.known[framework]

    def retrieve(self, framework: str, region: str, **arguments: Any) -> str:
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        processor = "gpu" if "g4dn" in arguments["instance_type"] else "cpu"
        repository = f"{framework}-{arguments['image_scope']}"
        return f"{REGISTRIES[region]}.dkr.ecr.{region}.{domain}/{repository}:{arguments['version']}-{processor}"


class TestBuild:
    def table(self) -> dict[str, Any]:
        sdk = Sdk()
        return build(sdk.configuration, sdk.retrieve, "9.9")

    def test_takes_the_newest_version_that_is_also_served(self) -> None:
        images = self.table()["images"]
        assert images["training"]["sklearn"]["cpu"] == "sklearn-training:1.2-1-cpu"
        assert images["inference"]["sklearn"]["cpu"] == "sklearn-inference:1.2-1-cpu"

    def test_knows_that_2_10_comes_after_2_9(self) -> None:
        assert self.table()["images"]["training"]["pytorch"]["gpu"] == "pytorch-training:2.10.0-gpu"

    def test_takes_the_newest_tensorflow_because_another_image_serves_it(self) -> None:
        images = self.table()["images"]
        assert images["training"]["tensorflow"]["gpu"] == "tensorflow-training:2.19.0-gpu"
        assert images["inference"]["tensorflow"] == images["inference"]["pytorch"]

    def test_gives_the_cpu_image_where_there_is_no_other(self) -> None:
        assert self.table()["images"]["training"]["sklearn"]["gpu"] == "sklearn-training:1.2-1-cpu"

    def test_notes_account_and_domain_of_each_region(self) -> None:
        assert self.table()["regions"]["cn-north-1"] == {
            "domain": "amazonaws.com.cn",
            "algorithms": "222222222222",
            "frameworks": "222222222222",
        }

    def test_names_the_version_of_its_source(self) -> None:
        assert "9.9" in self.table()["source"]

    def test_refuses_a_region_with_an_account_of_its_own_for_one_framework(self) -> None:
        sdk = Sdk()

        def retrieve(framework: str, region: str, **arguments: Any) -> str:
            uri = sdk.retrieve(framework, region, **arguments)
            return uri.replace("111111111111", "333333333333") if framework == "xgboost" else uri

        with pytest.raises(IrregularImage, match="333333333333"):
            build(sdk.configuration, retrieve, "9.9")

    def test_refuses_an_image_that_differs_between_regions(self) -> None:
        sdk = Sdk()

        def retrieve(framework: str, region: str, **arguments: Any) -> str:
            return sdk.retrieve(framework, region, **arguments) + ("-china" if region.startswith("cn-") else "")

        with pytest.raises(IrregularImage, match="several images"):
            build(sdk.configuration, retrieve, "9.9")


class TestRender:
    def test_of_the_committed_table_is_the_committed_file(self) -> None:
        assert render(json.loads(TABLE.read_text("utf-8"))) == TABLE.read_text("utf-8")
