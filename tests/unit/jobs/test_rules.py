from __future__ import annotations

import unicodedata
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import FieldProblem, InvalidRequest, RefusedValue
from chalicelib.identity.caller import Caller
from chalicelib.jobs.request import MAX_RUNTIME_SECONDS, TrainingConfig, TrainingJobRequest
from chalicelib.jobs.rules import (
    PYTORCH_OPTIMIZERS,
    SKLEARN_ALGORITHMS,
    XGBOOST_OBJECTIVES,
    check_environment,
    check_framework,
    check_resources,
    checkpoint_folder,
    confined,
)
from tests.faults import Shows
from tests.unit.jobs.hostile import BUCKET, HARMLESS_VARIABLES, NOT_NAMES, OWN, PATHS, ROOT, VARIABLES

ADA = Caller("acme", "ada@example.com", frozenset({"USER"}))


def config(**fields: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"script_path": "s3://b/s", "dataset_path": "s3://b/d", **fields})


def request(framework: str, parameters: dict[str, Any], **fields: Any) -> TrainingJobRequest:
    return TrainingJobRequest.model_validate(
        {"name": "n", "framework": framework, "config": config(parameters=parameters, **fields)}
    )


def framework_problems(framework: str, parameters: dict[str, Any]) -> dict[str, FieldProblem]:
    with pytest.raises(InvalidRequest) as raised:
        check_framework(request(framework, parameters))
    return {problem.field: problem for problem in raised.value.problems}


class TestConfined:
    @pytest.mark.parametrize("path", PATHS, ids=ascii)
    def test_refuses_every_path_that_is_not_plainly_the_callers_own(self, path: str) -> None:
        with pytest.raises(RefusedValue) as raised:
            confined("config.script_path", path, ADA, BUCKET)
        (problem,) = raised.value.problems
        assert problem.field == "config.script_path"
        assert ROOT in problem.cure

    def test_has_more_than_a_hundred_of_them(self) -> None:
        assert len(set(PATHS)) == len(PATHS)
        assert len(PATHS) >= 100

    def test_answers_the_same_for_all_of_them_so_that_nothing_is_learned(self) -> None:
        answers = set()
        for path in PATHS:
            with pytest.raises(RefusedValue) as raised:
                confined("config.script_path", path, ADA, BUCKET)
            answers.add(raised.value.detail)
        assert len(answers) == 1

    @pytest.mark.parametrize(
        "key",
        [
            "train.py",
            "uploads/5f0c/train.py",
            "uploads/5f0c/",
            "",
            "a b.csv",
            "sales 100%.csv",
            "ümlaut.csv",
            unicodedata.normalize("NFD", "ümlaut.csv"),
            "数据.csv",
            "a+b=c&d.csv",
            "a:b@c,d.csv",
            "...",
            "..a",
            ".hidden",
            "a..b/c",
            "%41.csv",
            "emoji-😀.csv",
        ],
    )
    def test_takes_paths_below_the_callers_own_place_unchanged(self, key: str) -> None:
        path = confined("config.dataset_path", ROOT + key, ADA, BUCKET)
        assert (path.bucket, path.key) == (BUCKET, OWN + key)
        assert path.uri == ROOT + key

    def test_takes_what_the_tenant_shares(self) -> None:
        uri = f"s3://{BUCKET}/tenants/acme/shared/data.csv"
        assert confined("config.dataset_path", uri, ADA, BUCKET).key == "tenants/acme/shared/data.csv"

    @given(rest=st.text(max_size=40))
    def test_lets_nothing_through_that_leaves_the_place(self, rest: str) -> None:
        try:
            path = confined("config.script_path", ROOT + rest, ADA, BUCKET)
        except RefusedValue:
            return
        assert path.key.startswith(OWN)
        assert not {"..", "."} & set(path.key.split("/"))
        assert "\\" not in path.key

    @given(path=st.text(max_size=60))
    def test_refuses_any_text_that_does_not_start_with_an_own_place(self, path: str) -> None:
        with pytest.raises(RefusedValue):
            confined("config.script_path", path, ADA, BUCKET)

    def test_knows_the_name_and_the_neighbours_of_a_file(self) -> None:
        path = confined("config.script_path", f"{ROOT}uploads/1/train.py", ADA, BUCKET)
        assert path.name == "train.py"
        assert path.sibling("requirements.txt").uri == f"{ROOT}uploads/1/requirements.txt"


class TestCheckpointFolder:
    @pytest.mark.parametrize(
        "path", [*PATHS, ROOT, f"{ROOT}checkpoints", f"{ROOT}checkpoints/", f"{ROOT}uploads/1/"], ids=ascii
    )
    def test_is_refused_outside_of_the_callers_own_folders(self, path: str) -> None:
        with pytest.raises(RefusedValue) as raised:
            checkpoint_folder(path, ADA, BUCKET)
        (problem,) = raised.value.problems
        assert problem.field == "config.checkpoint_path"
        assert f"{ROOT}checkpoints/" in problem.cure

    @pytest.mark.parametrize("name", ["resnet", "resnet/", "a/b/c/"])
    def test_is_taken_below_them(self, name: str) -> None:
        for folder in (f"{ROOT}checkpoints/", f"s3://{BUCKET}/tenants/acme/shared/checkpoints/"):
            assert checkpoint_folder(folder + name, ADA, BUCKET).uri == folder + name


class TestEnvironment:
    @staticmethod
    def check(variables: dict[str, str], image: str | None = None) -> None:
        check_environment(config(environment={"environment_variables": variables, "docker_image": image}))

    def problem(self, variables: dict[str, str], image: str | None = None) -> FieldProblem:
        with pytest.raises(RefusedValue) as raised:
            self.check(variables, image)
        (problem,) = raised.value.problems
        assert problem.cure
        return problem

    @pytest.mark.parametrize("name", VARIABLES)
    def test_refuses_reserved_variables_by_name(self, name: str) -> None:
        problem = self.problem({name: "x"})
        assert problem.field == f"config.environment.environment_variables.{name}"
        assert problem.message == "is reserved"

    def test_lets_nothing_of_the_whole_corpus_pass(self, shows: Shows) -> None:
        passed: list[str] = []
        for path in PATHS:
            with suppress(RefusedValue):
                confined("config.script_path", path, ADA, BUCKET)
                passed.append(path)
        for name in (*VARIABLES, *NOT_NAMES):
            with suppress(RefusedValue):
                self.check({name: "x"})
                passed.append(name)
        tried = len(PATHS) + len(VARIABLES) + len(NOT_NAMES)
        shows(26, f"{tried} hostile paths and variables, {len(passed)} passed")
        assert passed == []
        assert tried >= 300

    def test_has_more_than_a_hundred_of_them(self) -> None:
        assert len(set(VARIABLES)) == len(VARIABLES)
        assert len(VARIABLES) >= 100

    @pytest.mark.parametrize("name", NOT_NAMES, ids=ascii)
    def test_refuses_what_is_no_name_of_a_variable(self, name: str) -> None:
        assert "not a name" in self.problem({name: "x"}).message

    def test_takes_a_users_own_variables(self) -> None:
        self.check(dict.fromkeys(HARMLESS_VARIABLES, "x"))

    def test_names_all_that_are_wrong_at_once(self) -> None:
        with pytest.raises(RefusedValue) as raised:
            self.check({"PATH": "/x", "LD_PRELOAD": "/y", "EPOCHS": "3"})
        assert len(raised.value.problems) == 2

    @pytest.mark.parametrize("value", ["", "x" * 8192, "$(id); `id`", "a\nb", "ü" * 4096])
    def test_takes_any_value_of_8_kb(self, value: str) -> None:
        self.check({"A": value})

    @pytest.mark.parametrize("value", ["a\0b", "x" * 8193, "ü" * 4097])
    def test_refuses_values_that_no_process_can_take(self, value: str) -> None:
        assert self.problem({"A": value}).field.endswith(".A")

    def test_refuses_more_than_64_kb_in_all_because_the_record_would_not_hold_it(self) -> None:
        self.check({f"V{number}": "x" * 8000 for number in range(8)})
        problem = self.problem({f"V{number}": "x" * 8000 for number in range(9)})
        assert problem.field == "config.environment.environment_variables"

    @pytest.mark.parametrize(
        "image",
        [
            "python",
            "python:3.12",
            "python:3.12-slim",
            "library/python",
            "ghcr.io/acme/trainer:v1.2.3",
            "localhost:5000/trainer",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com/trainer:latest",
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312",
            "registry.example/a/b/c__d/e-f@sha256:" + "0" * 64,
            "registry.example/a:1@sha256:" + "f" * 64,
        ],
    )
    def test_takes_names_of_images(self, image: str) -> None:
        self.check({}, image)

    @pytest.mark.parametrize(
        "image",
        [
            " ",
            "python ",
            "python\n",
            "-v",
            "--privileged",
            "../python",
            "a//b",
            "a/",
            "/a",
            "a:",
            "a:b:c",
            "a@sha256:0",
            "a@",
            "http://169.254.169.254/latest",
            "https://registry.example/a",
            "file:///etc/passwd",
            "registry:99999999/a",
            "Library/Python/",
            "a;id",
            "$(id)",
            "a b",
            "ａ",
            "a:" + "t" * 129,
        ],
    )
    def test_refuses_what_is_no_name_of_an_image(self, image: str) -> None:
        assert self.problem({}, image).field == "config.environment.docker_image"


class TestResources:
    @pytest.mark.parametrize(
        ("name", "least", "most"),
        [("gpu_count", 0, 8), ("memory_gb", 4, 512), ("cpu_cores", 2, 64), ("disk_gb", 20, 2000)],
    )
    def test_are_taken_within_the_contracts_bounds_only(self, name: str, least: int, most: int) -> None:
        for value in (least, most):
            check_resources(config(resource_requirements={name: value}))
        for value in (least - 1, most + 1, -1, -(10**30), 10**4000):
            with pytest.raises(InvalidRequest) as raised:
                check_resources(config(resource_requirements={name: value}))
            (problem,) = raised.value.problems
            assert problem.field == f"config.resource_requirements.{name}"
            assert f"{least} to {most}" in problem.cure
            assert len(problem.message) < 60

    def test_are_named_all_at_once(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            check_resources(config(resource_requirements={"gpu_count": 9, "memory_gb": 513}, max_runtime_seconds=1))
        assert [problem.field.rpartition(".")[2] for problem in raised.value.problems] == [
            "gpu_count",
            "memory_gb",
            "max_runtime_seconds",
        ]

    @pytest.mark.parametrize("seconds", [60, MAX_RUNTIME_SECONDS])
    def test_may_be_used_for_a_minute_to_four_weeks(self, seconds: int) -> None:
        check_resources(config(max_runtime_seconds=seconds))

    @pytest.mark.parametrize("seconds", [59, MAX_RUNTIME_SECONDS + 1, 0, -1])
    def test_may_not_be_used_for_less_or_more(self, seconds: int) -> None:
        with pytest.raises(InvalidRequest) as raised:
            check_resources(config(max_runtime_seconds=seconds))
        assert raised.value.problems[0].field == "config.max_runtime_seconds"


class TestTensorFlow:
    @pytest.mark.parametrize("rate", [1e-12, 0.001, 0.5, 1, 1.0])
    def test_takes_learning_rates_above_0_and_up_to_1(self, rate: float) -> None:
        check_framework(request("tensorflow", {"learning_rate": rate}))

    @pytest.mark.parametrize("rate", [0, 0.0, -0.0, -0.1, 1.0000001, 2, 10**400, "0.1", None, True, [0.1], {}])
    def test_refuses_other_learning_rates(self, rate: Any) -> None:
        assert framework_problems("tensorflow", {"learning_rate": rate}).keys() == {"config.parameters.learning_rate"}

    @pytest.mark.parametrize("size", [1, 32, 10**6])
    def test_takes_batch_sizes_above_0(self, size: int) -> None:
        check_framework(request("tensorflow", {"batch_size": size}))

    @pytest.mark.parametrize("size", [0, -1, 1.5, 32.0, "32", None, True, False, [32]])
    def test_refuses_other_batch_sizes(self, size: Any) -> None:
        assert framework_problems("tensorflow", {"batch_size": size}).keys() == {"config.parameters.batch_size"}

    def test_names_both_at_once(self) -> None:
        assert len(framework_problems("tensorflow", {"learning_rate": 2, "batch_size": 0})) == 2

    def test_asks_for_neither(self) -> None:
        check_framework(request("tensorflow", {}))


CHOICES = [
    ("pytorch", "optimizer", PYTORCH_OPTIMIZERS),
    ("sklearn", "algorithm", SKLEARN_ALGORITHMS),
    ("xgboost", "objective", XGBOOST_OBJECTIVES),
]


class TestChoices:
    @pytest.mark.parametrize(
        ("framework", "name", "value"),
        [(framework, name, value) for framework, name, all_ in CHOICES for value in all_],
    )
    def test_of_each_framework_are_taken(self, framework: str, name: str, value: str) -> None:
        check_framework(request(framework, {name: value}))

    @pytest.mark.parametrize(("framework", "name", "allowed"), CHOICES)
    @pytest.mark.parametrize("value", ["", "other", " ", "adam ", 1, None, True, ["adam"], {"adam": 1}, "x" * 10_000])
    def test_beyond_them_are_refused_with_the_list(
        self, framework: str, name: str, allowed: tuple[str, ...], value: Any
    ) -> None:
        problem = framework_problems(framework, {name: value})[f"config.parameters.{name}"]
        assert all(each in problem.cure for each in allowed)
        assert len(problem.message) < 120

    @pytest.mark.parametrize("framework", [framework for framework, _, _ in CHOICES])
    def test_need_not_be_made(self, framework: str) -> None:
        check_framework(request(framework, {"epochs": 3}))

    def test_are_those_of_the_contract(self) -> None:
        assert {"adam", "sgd", "rmsprop", "adagrad", "adamw"} <= set(PYTORCH_OPTIMIZERS)
        assert set(SKLEARN_ALGORITHMS) == {
            "random_forest",
            "svm",
            "logistic_regression",
            "gradient_boosting",
            "neural_network",
        }
        assert set(XGBOOST_OBJECTIVES) == {"reg:squarederror", "binary:logistic", "multi:softmax", "multi:softprob"}

    def test_take_the_class_names_of_pytorch(self) -> None:
        check_framework(request("pytorch", {"optimizer": "AdamW"}))

    @pytest.mark.parametrize("framework", ["custom", "pytorch", "sklearn", "xgboost"])
    def test_of_another_framework_are_nobodys_business(self, framework: str) -> None:
        check_framework(request(framework, {"learning_rate": 7, "batch_size": -1}))

    def test_of_custom_jobs_are_not_checked(self) -> None:
        check_framework(request("custom", {"optimizer": 1, "algorithm": 2, "objective": 3}))


class TestMetricDefinitions:
    @pytest.mark.parametrize("regex", ["loss=([0-9.]+)", "(?P<value>.*)", "a(b)(c)"])
    def test_are_taken_with_a_group(self, regex: str) -> None:
        check_framework(request("custom", {}, metric_definitions=[{"name": "loss", "regex": regex}]))

    @pytest.mark.parametrize(
        "regex", ["loss", "(?:x)", "(", "[", "*", "(?P<a", "a{99999999999999999999}", "(a)" * 99 + "("]
    )
    def test_are_refused_without_one_or_when_they_are_no_expressions(self, regex: str) -> None:
        with pytest.raises(InvalidRequest) as raised:
            check_framework(request("custom", {}, metric_definitions=[{"name": "loss", "regex": regex}]))
        assert raised.value.problems[0].field == "config.metric_definitions.0.regex"

    def test_are_counted_from_0_in_the_problem(self) -> None:
        definitions = [{"name": "a", "regex": "(a)"}, {"name": "b", "regex": "b"}]
        with pytest.raises(InvalidRequest) as raised:
            check_framework(request("custom", {}, metric_definitions=definitions))
        assert [problem.field for problem in raised.value.problems] == ["config.metric_definitions.1.regex"]
