"""Create, list, get and stop."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.experiments.conftest import CONVERSION, ERRORS, SHAPE, STRANGER, VIEWER, Experiments


class TestCreate:
    def test_answers_201_with_the_plan_and_the_power_calculation(self, experiments: Experiments) -> None:
        body = {**SHAPE, "primary_metric": {**CONVERSION, "baseline": 0.1}, "hypothesis": "green sells more"}
        answer = experiments.send("POST", "", body)
        assert answer.status == 201
        assert answer.headers["Location"] == f"/api/v1/experiments/{answer.json['id']}"
        assert answer.json["decision"] == "continue"
        assert answer.json["control"] == "a"
        assert answer.json["weights"] == {"a": 0.5, "b": 0.5}
        # 3,839 for a single look at +20 % of 10 %, and 4.6 % more for twenty.
        assert answer.json["sample_size"]["per_variant"] == 4016
        assert answer.json["sample_size"]["expected_power"] == pytest.approx(0.879, abs=0.001)

    def test_reckons_several_baselines_where_none_is_given(self, experiments: Experiments) -> None:
        sizes = experiments.send("POST", "", SHAPE).json["sample_size"]
        assert "baseline" in sizes["note"]
        assert {"baseline": 0.1, "per_variant": 4016} in sizes["by_baseline"]

    def test_takes_the_sample_size_as_the_most_where_none_is_given(self, experiments: Experiments) -> None:
        body = {**SHAPE, "primary_metric": {**CONVERSION, "baseline": 0.1}}
        del body["max_samples_per_variant"]
        assert experiments.send("POST", "", body).json["max_samples_per_variant"] == 4016

    def test_takes_the_method_that_holds_for_its_allocation(self, experiments: Experiments) -> None:
        assert experiments.send("POST", "", SHAPE).json["method"] == "group_sequential"
        answer = experiments.send("POST", "", {**SHAPE, "allocation": {"type": "thompson"}}).json
        assert (answer["method"], answer["allocation"]) == ("always_valid", {"type": "thompson", "floor": 0.05})

    def test_makes_one_experiment_of_one_key(self, experiments: Experiments) -> None:
        headers = {"idempotency-key": "k"}
        first, again = (experiments.send("POST", "", SHAPE, headers=headers) for _ in range(2))
        assert first.json == again.json
        other = experiments.send("POST", "", {**SHAPE, "name": "other"}, headers=headers)
        assert other.status == 409
        assert experiments.log.told() == [("alice", "create_experiment", f"experiment/{first.json['id']}")]

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"variants": ["a"]}, "variants"),
            ({"variants": ["a", "a"]}, "variants"),
            ({"variants": ["a", "b/c"]}, "variants.1"),
            ({"variants": [str(number) for number in range(7)]}, "variants"),
            ({"weights": {"a": 1}}, "weights"),
            ({"weights": {"a": 1, "b": 0}}, "weights.b"),
            ({"primary_metric": {**CONVERSION, "type": "median"}}, "primary_metric.type"),
            ({"primary_metric": {**CONVERSION, "type": "quantile"}}, "primary_metric.quantile"),
            ({"primary_metric": {**CONVERSION, "threshold": 3}}, "primary_metric.threshold"),
            ({"primary_metric": {**CONVERSION, "covariate": True}}, "primary_metric.covariate"),
            ({"primary_metric": {**CONVERSION, "baseline": 10}}, "primary_metric.baseline"),
            ({"primary_metric": {**CONVERSION, "direction": "up"}}, "primary_metric.direction"),
            ({"guardrails": [{**ERRORS, "name": "conversion"}]}, "guardrails.0.name"),
            ({"guardrails": [{**ERRORS, "name": f"m{number}"} for number in range(6)]}, "guardrails"),
            ({"alpha": 0}, "alpha"),
            ({"power": 1}, "power"),
            ({"looks": 0}, "looks"),
            ({"max_samples_per_variant": 99}, "max_samples_per_variant"),
            ({"max_samples_per_variant": None}, "max_samples_per_variant"),
            ({"allocation": {"type": "thompson", "floor": 0.5}, "variants": ["a", "b", "c"]}, "allocation.floor"),
            ({"allocation": {"type": "thompson"}, "method": "group_sequential"}, "method"),
            ({"allocation": {"type": "thompson", "floor": 0.1}, "weights": {"a": 19, "b": 1}}, "weights.b"),
            ({"name": "x" * 101}, "name"),
            ({"hypothesis": "x" * 2001}, "hypothesis"),
            ({"colour": "green"}, "colour"),
        ],
    )
    def test_names_what_is_wrong_and_the_cure(
        self, experiments: Experiments, changes: dict[str, Any], field: str
    ) -> None:
        answer = experiments.send("POST", "", {**SHAPE, **changes})
        assert answer.status == 400
        assert field in [each["field"] for each in answer.json["errors"]]
        assert all(each["cure"] for each in answer.json["errors"])

    def test_is_for_those_who_may(self, experiments: Experiments) -> None:
        assert experiments.send("POST", "", SHAPE, caller=VIEWER).status == 403


class TestReading:
    def test_lists_newest_first_page_by_page_and_by_status(self, experiments: Experiments) -> None:
        made = [experiments.create(name=f"e{number}") for number in range(3)]
        experiments.send("POST", f"/{made[1]}/stop")
        page = experiments.send("GET", "?limit=2").json
        rest = experiments.send("GET", f"?limit=2&cursor={page['next_cursor']}").json
        assert [each["id"] for each in (*page["experiments"], *rest["experiments"])] == made[::-1]
        running = experiments.send("GET", "?status=running").json["experiments"]
        assert [each["id"] for each in running] == [made[2], made[0]]
        assert experiments.send("GET", "?status=lost").status == 400

    def test_shows_a_stranger_nothing(self, experiments: Experiments) -> None:
        made = experiments.create()
        for method, path, body in (
            ("GET", "", None),
            ("GET", "/results", None),
            ("POST", "/stop", {}),
            ("POST", "/exposures", {"exposures": [{"variant": "a", "key": "u"}]}),
            ("POST", "/outcomes", {"counts": [{"variant": "a", "metric": "conversion", "n": 1, "successes": 1}]}),
        ):
            answer = experiments.send(method, f"/{made}{path}", body, caller=STRANGER)
            missing = experiments.send(method, f"/nothing{path}", body)
            assert (
                (answer.status, answer.json["detail"])
                == (missing.status, missing.json["detail"])
                == (
                    404,
                    "There is no such experiment, or it is not yours.",
                )
            )
        assert experiments.send("GET", "", caller=STRANGER).json["experiments"] == []

    def test_has_results_before_anything_was_counted(self, experiments: Experiments) -> None:
        found = experiments.results(experiments.create())
        assert (found["decision"], found["looks"], found["metrics"]) == ("continue", 0, [])
        assert [each["name"] for each in found["variants"]] == ["a", "b"]


class TestStop:
    def test_ends_it_undecided_once_and_says_so(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiments.conversions(made, 200, 20, 22)
        first, again = (experiments.send("POST", f"/{made}/stop", {"reason": "sale"}) for _ in range(2))
        assert first.json == again.json
        assert (first.json["status"], first.json["decision"]) == ("stopped", "inconclusive")
        assert first.json["reason"] == "Stopped by hand after look 1: sale"
        assert experiments.results(made)["reason"] == first.json["reason"]
        assert experiments.conversions(made, 200, 20, 22).status == 409
        assert experiments.log.told()[1:] == [("alice", "stop_experiment", f"experiment/{made}")]

    def test_leaves_a_decision_alone(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiments.conversions(made, 2500, 250, 500)
        assert experiments.send("POST", f"/{made}/stop").status == 409
        assert experiments.send("GET", f"/{made}").json["decision"] == "promote"
