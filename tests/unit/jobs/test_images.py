from __future__ import annotations

import re

import pytest

from chalicelib.jobs.images import UnknownImage, inference_image, training_image

FRAMEWORKS = ("sklearn", "xgboost", "pytorch", "tensorflow", "custom")
REGIONS = ("us-east-1", "us-west-2", "eu-central-1", "ap-northeast-1", "ap-southeast-3", "us-gov-west-1", "cn-north-1")
URI = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.[a-z.]+/[a-z-]+:[0-9][a-z0-9.-]+")


def version(uri: str) -> str:
    return uri.rpartition(":")[2].partition("-")[0]


class TestImages:
    @pytest.mark.parametrize("region", REGIONS)
    @pytest.mark.parametrize("framework", FRAMEWORKS)
    def test_exist_for_every_framework_and_processor(self, framework: str, region: str) -> None:
        for find in (training_image, inference_image):
            for gpu in (False, True):
                uri = find(framework, gpu, region)
                assert URI.fullmatch(uri)
                assert f".{region}." in uri

    @pytest.mark.parametrize("framework", ["pytorch", "tensorflow", "custom"])
    def test_differ_between_cpu_and_gpu_where_the_framework_does(self, framework: str) -> None:
        for find in (training_image, inference_image):
            assert "-gpu-" in find(framework, True, "us-east-1")
            assert "-cpu-" in find(framework, False, "us-east-1")

    @pytest.mark.parametrize("framework", ["sklearn", "xgboost", "pytorch"])
    def test_serve_with_the_version_that_trained(self, framework: str) -> None:
        trained, served = training_image(framework, False, "us-east-1"), inference_image(framework, False, "us-east-1")
        assert version(trained) == version(served)

    def test_serve_tensorflow_by_an_image_that_runs_our_four_functions(self) -> None:
        assert inference_image("tensorflow", False, "us-east-1") == inference_image("pytorch", False, "us-east-1")

    @pytest.mark.parametrize("framework", ["pytorch", "tensorflow", "custom"])
    def test_have_a_python_of_at_least_3_9(self, framework: str) -> None:
        for find in (training_image, inference_image):
            found = re.search(r"py3([0-9]+)", find(framework, True, "us-east-1"))
            assert found
            assert int(found.group(1)) >= 9

    def test_of_china_lie_in_the_domain_of_china(self) -> None:
        assert ".cn-north-1.amazonaws.com.cn/" in training_image("sklearn", False, "cn-north-1")

    @pytest.mark.parametrize(
        ("framework", "region"), [("caffe", "us-east-1"), ("sklearn", "mars-north-1"), ("sklearn", "mx-central-1")]
    )
    def test_that_aws_does_not_publish_are_an_error_with_the_way_out(self, framework: str, region: str) -> None:
        with pytest.raises(UnknownImage, match="docker_image"):
            training_image(framework, False, region)
