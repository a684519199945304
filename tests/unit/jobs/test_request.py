from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.errors import FieldProblem, InvalidRequest, ServiceError, TooLarge
from chalicelib.jobs.request import MAX_PARAMETER_BYTES, TrainingJobRequest
from chalicelib.shape import MAX_BODY_BYTES, read

SMALLEST: dict[str, Any] = {
    "name": "churn",
    "framework": "sklearn",
    "config": {"script_path": "s3://bucket/train.py", "dataset_path": "s3://bucket/data.csv"},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The smallest good request with one field set."""
    document: dict[str, Any] = json.loads(json.dumps(SMALLEST))
    *parents, last = path.split(".")
    place = document
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return document


def accepted(document: Any) -> TrainingJobRequest:
    return read(TrainingJobRequest, json.dumps(document).encode())


def problems(document: Any) -> dict[str, FieldProblem]:
    """The problems of a refused request, by field; each has to say what is wrong and what would be right."""
    with pytest.raises(InvalidRequest) as raised:
        accepted(document)
    for problem in raised.value.problems:
        assert problem.field
        assert problem.message
        assert problem.cure.endswith((".", ")"))
        assert problem.field in raised.value.detail
    return {problem.field: problem for problem in raised.value.problems}


class TestDefaults:
    def test_are_those_of_the_contract(self) -> None:
        request = accepted(SMALLEST)
        assert request.priority == "medium"
        resources = request.config.resource_requirements
        assert (resources.gpu_count, resources.gpu_type) == (1, "v100")
        assert (resources.memory_gb, resources.cpu_cores, resources.disk_gb) == (16, 8, 100)
        assert request.config.environment.backend == "sagemaker"
        assert request.config.environment.arguments == "auto"

    def test_are_not_shared_between_requests(self) -> None:
        assert accepted(SMALLEST).config.parameters is not accepted(SMALLEST).config.parameters


class TestMissing:
    @pytest.mark.parametrize("field", ["name", "framework", "config"])
    def test_fields_are_named(self, field: str) -> None:
        document = {name: value for name, value in SMALLEST.items() if name != field}
        assert problems(document)[field].message == "is missing"

    @pytest.mark.parametrize("field", ["script_path", "dataset_path"])
    def test_fields_of_config_are_named_with_their_path(self, field: str) -> None:
        document = {**SMALLEST, "config": {name: "x" for name in SMALLEST["config"] if name != field}}
        assert set(problems(document)) == {f"config.{field}"}

    def test_all_are_told_at_once(self) -> None:
        assert set(problems({"config": {}})) == {"name", "framework", "config.script_path", "config.dataset_path"}


class TestUnknown:
    @pytest.mark.parametrize(
        ("path", "known"),
        [
            ("nmae", "name"),
            ("user_id", "framework"),
            ("tenant", "priority"),
            ("status", "tags"),
            ("config.script", "script_path"),
            ("config.image", "environment"),
            ("config.resource_requirements.gpus", "gpu_count"),
            ("config.environment.docker", "docker_image"),
            ("config.environment.role_arn", "backend"),
        ],
    )
    def test_fields_are_refused_and_the_known_ones_listed(self, path: str, known: str) -> None:
        assert known in problems(changed(path, "x"))[path].cure

    def test_fields_are_repeated_only_in_part(self) -> None:
        (problem,) = problems({**SMALLEST, "k" * 100_000: 1}).values()
        assert len(problem.field) <= 80

    def test_fields_without_number_are_refused_with_a_short_answer(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            accepted({f"k{number}": 1 for number in range(50_000)})
        assert len(raised.value.problems) <= 25
        assert len(raised.value.detail) < 5000


class TestWrongTypes:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("name", 7),
            ("name", None),
            ("name", ["churn"]),
            ("name", True),
            ("framework", 1),
            ("framework", None),
            ("description", 1),
            ("priority", 1),
            ("priority", None),
            ("tags", "red"),
            ("tags", {"red": 1}),
            ("tags", None),
            ("config", "s3://bucket/train.py"),
            ("config", []),
            ("config", None),
            ("config.script_path", None),
            ("config.script_path", 1),
            ("config.dataset_path", ["s3://bucket/data.csv"]),
            ("config.parameters", "max_depth=6"),
            ("config.parameters", []),
            ("config.parameters", None),
            ("config.resource_requirements", 1),
            ("config.resource_requirements.gpu_count", "1"),
            ("config.resource_requirements.gpu_count", 1.0),
            ("config.resource_requirements.gpu_count", True),
            ("config.resource_requirements.gpu_count", None),
            ("config.resource_requirements.memory_gb", 16.5),
            ("config.resource_requirements.cpu_cores", [8]),
            ("config.resource_requirements.gpu_type", 100),
            ("config.environment", "x"),
            ("config.environment.docker_image", 1),
            ("config.environment.environment_variables", ["A=1"]),
            ("config.environment.backend", None),
            ("config.metric_definitions", {}),
            ("config.max_runtime_seconds", "3600"),
            ("config.max_runtime_seconds", 1e3),
        ],
    )
    def test_are_refused_by_name_never_converted(self, path: str, value: Any) -> None:
        assert path in problems(changed(path, value))

    def test_of_single_elements_are_named_with_their_place(self) -> None:
        assert "tags.1" in problems(changed("tags", ["red", 2]))
        variables = {"A": "1", "B": 2}
        path = "config.environment.environment_variables"
        assert f"{path}.B" in problems(changed(path, variables))
        definitions = [{"name": "loss", "regex": "loss=(.*)"}, {"name": "accuracy"}]
        assert "config.metric_definitions.1.regex" in problems(changed("config.metric_definitions", definitions))

    @pytest.mark.parametrize("body", [b"", b"null", b"[]", b"1", b'"x"', b"true"])
    def test_of_the_whole_body_say_that_an_object_is_needed(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest) as raised:
            read(TrainingJobRequest, body)
        assert raised.value.problems[0].field == "body"
        assert "object" in raised.value.problems[0].message


class TestChoices:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("framework", "'tensorflow', 'pytorch', 'sklearn', 'xgboost' or 'custom'"),
            ("priority", "'low', 'medium', 'high' or 'critical'"),
            ("config.resource_requirements.gpu_type", "'v100', 'a100', 'h100' or 't4'"),
            ("config.environment.backend", "'sagemaker' or 'batch'"),
            ("config.environment.arguments", "'auto', 'document' or 'script_mode'"),
        ],
    )
    def test_are_listed_when_another_value_is_sent(self, path: str, allowed: str) -> None:
        problem = problems(changed(path, "other"))[path]
        assert problem.message == 'is "other"'
        assert allowed in problem.cure

    @pytest.mark.parametrize("framework", ["tensorflow", "pytorch", "sklearn", "xgboost", "custom"])
    def test_of_frameworks_are_all_taken(self, framework: str) -> None:
        assert accepted(changed("framework", framework)).framework == framework


class TestNames:
    @pytest.mark.parametrize("name", ["a", "customer-churn-model-v2", "My model 2.1_b", "9", "x" * 255])
    def test_are_taken(self, name: str) -> None:
        assert accepted(changed("name", name)).name == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            " ",
            "-a",
            ".hidden",
            "a/b",
            "a\n",
            "a\nb",
            "a\0",
            "naïve",
            "a;b",
            "$(id)",
            "x" * 256,
            "a'b",
            "..",
            "\u202ea",
        ],
    )
    def test_are_refused(self, name: str) -> None:
        assert "name" in problems(changed("name", name))


class TestBounds:
    def test_of_tags(self) -> None:
        assert len(accepted(changed("tags", [f"t{number}" for number in range(50)])).tags) == 50
        assert "tags" in problems(changed("tags", [f"t{number}" for number in range(51)]))
        assert "tags.0" in problems(changed("tags", ["x" * 129]))
        assert "tags.0" in problems(changed("tags", [""]))

    def test_same_tag_twice_is_refused(self) -> None:
        (problem,) = problems(changed("tags", ["red", "red"])).values()
        assert "twice" in problem.message

    def test_of_text(self) -> None:
        assert "description" in problems(changed("description", "x" * 2001))
        assert "config.script_path" in problems(changed("config.script_path", "s3://" + "x" * 1100))
        assert "config.script_path" in problems(changed("config.script_path", ""))

    def test_of_environment_variables(self) -> None:
        path = "config.environment.environment_variables"
        assert path in problems(changed(path, {f"V{number}": "1" for number in range(65)}))


class TestParameters:
    def test_of_any_json_are_taken_as_they_are(self) -> None:
        values = {"a": 1, "b": 1.5, "c": "x y", "d": None, "e": [1, {"f": True}], "ü": "$(id); rm -rf /"}
        assert accepted(changed("config.parameters", values)).config.parameters == values

    def test_of_64_kb_are_taken_and_of_a_byte_more_refused(self) -> None:
        room = MAX_PARAMETER_BYTES - len('{"x": ""}')
        assert accepted(changed("config.parameters", {"x": "y" * room}))
        problem = problems(changed("config.parameters", {"x": "y" * (room + 1)}))["config.parameters"]
        assert "65,537 bytes" in problem.message
        assert "dataset" in problem.cure

    def test_are_measured_in_bytes_and_not_in_characters(self) -> None:
        assert "config.parameters" in problems(changed("config.parameters", {"x": "ü" * (MAX_PARAMETER_BYTES // 2)}))

    def test_of_a_megabyte_are_too_large(self) -> None:
        with pytest.raises(TooLarge):
            accepted(changed("config.parameters", {"x": "y" * MAX_BODY_BYTES}))

    def test_beyond_a_hundred_are_refused(self) -> None:
        values = {f"p{number}": number for number in range(101)}
        assert "config.parameters" in problems(changed("config.parameters", values))

    @pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity"])
    def test_that_are_not_finite_are_refused_also_deep_inside(self, number: str) -> None:
        body = json.dumps(changed("config.parameters", {"x": [{"y": "HERE"}]})).replace('"HERE"', number).encode()
        with pytest.raises(InvalidRequest) as raised:
            read(TrainingJobRequest, body)
        assert raised.value.problems[0].field == "config.parameters"
        assert "finite" in raised.value.problems[0].cure

    @pytest.mark.parametrize("values", [{"x": "a\0b"}, {"a\0b": 1}, {"x": [{"y": "\0"}]}])
    def test_with_nul_are_refused_because_no_process_can_be_given_one(self, values: dict[str, Any]) -> None:
        assert "NUL" in problems(changed("config.parameters", values))["config.parameters"].message

    def test_that_spell_nul_out_are_taken(self) -> None:
        assert accepted(changed("config.parameters", {"x": r"\u0000"}))

    def test_of_huge_whole_numbers_are_taken_exactly(self) -> None:
        assert accepted(changed("config.parameters", {"x": 10**1000})).config.parameters["x"] == 10**1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


class TestAnything:
    @given(value=json_values)
    def test_is_accepted_or_refused_in_words_and_never_fails_otherwise(self, value: Any) -> None:
        for path in ("name", "config", "config.parameters", "tags", "config.metric_definitions"):
            with suppress(ServiceError):
                assert accepted(changed(path, value)).name

    @given(body=st.binary(max_size=200))
    def test_in_bytes_is_refused_in_words(self, body: bytes) -> None:
        with pytest.raises(InvalidRequest):
            read(TrainingJobRequest, body)
