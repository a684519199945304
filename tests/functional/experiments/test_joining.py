"""Single units: exposed, then with outcomes; each counted once, whatever comes again, late or twice."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.experiments.conftest import CONVERSION, Experiments
from tests.functional.rest import Response

LATENCY = {"name": "latency", "type": "mean", "direction": "decrease"}


def expose(experiments: Experiments, made: str, *units: dict[str, Any]) -> Response:
    return experiments.send("POST", f"/{made}/exposures", {"exposures": list(units)})


def report(experiments: Experiments, made: str, *outcomes: dict[str, Any]) -> Response:
    return experiments.send("POST", f"/{made}/outcomes", {"outcomes": list(outcomes)})


def converted(key: str, value: int = 1) -> dict[str, Any]:
    return {"key": key, "metric": "conversion", "value": value}


class TestExposures:
    def test_are_counted_once_by_key(self, experiments: Experiments) -> None:
        made = experiments.create()
        first = expose(experiments, made, {"variant": "a", "key": "u1"}, {"variant": "b", "key": "u2"})
        assert first.json == {"counted": 2, "duplicates": [], "crossed": [], "unmatched": []}
        again = expose(
            experiments,
            made,
            {"variant": "a", "key": "u1"},
            {"variant": "a", "key": "u2"},
            {"variant": "a", "key": "u3"},
            {"variant": "a", "key": "u3"},
        )
        assert again.json == {"counted": 1, "duplicates": [0, 3], "crossed": [1], "unmatched": []}

    def test_take_part_in_the_split(self, experiments: Experiments) -> None:
        made = experiments.create()
        expose(experiments, made, *({"variant": "ab"[n % 2], "key": f"u{n}"} for n in range(40)))
        found = report(experiments, made, converted("u0"), converted("u1", 0)).json
        assert [each["exposures"] for each in found["variants"]] == [20, 20]
        assert found["split"]["is_mismatch"] is False

    @pytest.mark.parametrize(
        ("unit", "field"),
        [
            ({"variant": "c", "key": "u"}, "exposures.0.variant"),
            ({"variant": "a"}, "exposures.0"),
            ({"variant": "a", "key": ""}, "exposures.0.key"),
            ({"variant": "a", "key": "x" * 257}, "exposures.0.key"),
        ],
    )
    def test_that_cannot_be_are_refused(self, experiments: Experiments, unit: dict[str, Any], field: str) -> None:
        answer = expose(experiments, experiments.create(), unit)
        assert answer.status == 400
        assert answer.json["errors"][0]["field"] == field

    def test_are_at_most_forty_at_once(self, experiments: Experiments) -> None:
        made = experiments.create()
        assert expose(experiments, made, *({"variant": "a", "key": f"u{n}"} for n in range(41))).status == 400


class TestOutcomes:
    def test_are_joined_by_key_and_units_without_one_are_zeros(self, experiments: Experiments) -> None:
        made = experiments.create()
        expose(experiments, made, *({"variant": "ab"[n % 2], "key": f"u{n}"} for n in range(40)))
        found = report(experiments, made, converted("u0"), converted("u1"), converted("u3"), converted("u5", 0)).json
        assert found["outcomes"]["counted"] == 4
        assert found["metrics"][0]["n"] == {"a": 20, "b": 20}
        assert found["metrics"][0]["value"] == {"a": 0.05, "b": 0.1}
        assert found["looks"] == 1

    def test_are_joined_by_the_request_too(self, experiments: Experiments) -> None:
        made = experiments.create(primary_metric=LATENCY)
        expose(
            experiments, made, {"variant": "a", "key": "u1", "request_id": "r1"}, {"variant": "b", "request_id": "r2"}
        )
        found = report(
            experiments,
            made,
            {"request_id": "r1", "metric": "latency", "value": 12.5},
            {"key": "u1", "metric": "latency", "value": 99},
            {"request_id": "r2", "metric": "latency", "value": 3},
        ).json
        assert found["outcomes"] == {"counted": 2, "duplicates": [1], "crossed": [], "unmatched": []}

    def test_that_come_again_are_not_counted_again(self, experiments: Experiments) -> None:
        made = experiments.create()
        expose(experiments, made, {"variant": "a", "key": "u1"}, {"variant": "b", "key": "u2"})
        report(experiments, made, converted("u1"))
        again = report(experiments, made, converted("u1"), converted("u2"), converted("u2")).json
        assert again["outcomes"] == {"counted": 1, "duplicates": [0, 2], "crossed": [], "unmatched": []}
        assert again["metrics"][0]["value"] == {"a": 1, "b": 1}

    def test_that_come_before_their_exposure_are_told_and_count_later(self, experiments: Experiments) -> None:
        made = experiments.create()
        early = report(experiments, made, converted("u1")).json
        assert (early["outcomes"]["unmatched"], early["looks"]) == ([0], 0)
        expose(experiments, made, {"variant": "a", "key": "u1"})
        assert report(experiments, made, converted("u1")).json["outcomes"]["counted"] == 1

    def test_that_come_after_the_decision_are_kept_out(self, experiments: Experiments) -> None:
        made = experiments.create()
        expose(experiments, made, {"variant": "a", "key": "u1"})
        experiments.send("POST", f"/{made}/stop")
        assert report(experiments, made, converted("u1")).status == 409

    def test_add_up_as_a_batch_of_them_does(self, experiments: Experiments) -> None:
        metric = {**LATENCY, "covariate": True}
        singly, batched = (experiments.create(primary_metric=metric) for _ in range(2))
        values = [(n, 10 + 0.1 * n, 5 + 0.05 * n * n) for n in range(40)]
        expose(experiments, singly, *({"variant": "ab"[n % 2], "key": f"u{n}"} for n, _, _ in values))
        one = report(
            experiments,
            singly,
            *({"key": f"u{n}", "metric": "latency", "value": y, "covariate": x} for n, y, x in values),
        ).json
        batch = []
        for variant in range(2):
            units = [(y, x) for n, y, x in values if n % 2 == variant]
            sums = {
                "n": len(units),
                "sum": sum(y for y, _ in units),
                "sum_squares": sum(y * y for y, _ in units),
                "covariate_sum": sum(x for _, x in units),
                "covariate_sum_squares": sum(x * x for _, x in units),
                "product_sum": sum(x * y for y, x in units),
            }
            batch.append({"variant": "ab"[variant], "metric": "latency", **sums})
        other = experiments.count(batched, *batch).json
        assert one["metrics"] == other["metrics"]

    @pytest.mark.parametrize(
        ("outcome", "field"),
        [
            ({"value": 0.5}, "outcomes.0.value"),
            ({"denominator": 1}, "outcomes.0.denominator"),
            ({"covariate": 1}, "outcomes.0.covariate"),
            ({"metric": "latency"}, "outcomes.0.metric"),
            ({"value": 1e7}, "outcomes.0.value"),
            ({"request_id": "r"}, "outcomes.0"),
        ],
    )
    def test_that_cannot_be_are_refused(self, experiments: Experiments, outcome: dict[str, Any], field: str) -> None:
        made = experiments.create(primary_metric=CONVERSION)
        answer = report(experiments, made, {**converted("u"), **outcome})
        assert answer.status == 400
        assert answer.json["errors"][0]["field"] == field
