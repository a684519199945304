"""Counts come in as batches, each with one look; what is decided stays so."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.errors import Conflict
from chalicelib.experiments.look import look
from chalicelib.experiments.request import CountsRequest
from chalicelib.experiments.store import Stale
from tests.functional.experiments.conftest import CONVERSION, ERRORS, USER, VIEWER, Experiments, share


class TestLooks:
    def test_each_batch_is_one_and_answers_as_results_do(self, experiments: Experiments) -> None:
        made = experiments.create()
        answers = [experiments.conversions(made, 250, 25, 26).json for _ in range(3)]
        assert [each["looks"] for each in answers] == [1, 2, 3]
        assert answers[-1] == experiments.results(made)
        (found,) = answers[-1]["metrics"]
        assert found["n"] == {"a": 750, "b": 750}
        assert found["value"] == {"a": 0.1, "b": 0.104}
        assert found["effect"] == pytest.approx(0.004)
        assert answers[-1]["decision"] == "continue"
        assert answers[-1]["reason"] == (
            "b is not decided: at look 3 z = 0.26 stays within ±5.67; 750 of 5,000 samples per variant are in."
        )
        assert [each["look"] for each in answers[-1]["plot"]["points"]] == [1, 2, 3]

    def test_promote_what_is_better(self, experiments: Experiments) -> None:
        made = experiments.create()
        answer = experiments.conversions(made, 2500, 250, 330).json
        assert (answer["decision"], answer["promoted"], answer["decided_at_look"]) == ("promote", "b", 1)
        assert answer["reason"] == (
            "b is promoted: its conversion is 13.2 % against 10 % of a (+32 %), interval +4.65 % to +68 %; "
            "at look 1 z = 3.54 passes the group-sequential boundary of 2.96."
        )
        assert experiments.send("GET", f"/{made}").json["status"] == "decided"

    def test_roll_back_what_is_worse_at_any_time(self, experiments: Experiments) -> None:
        made = experiments.create()
        answer = experiments.conversions(made, 1000, 150, 80).json
        assert (answer["decision"], answer["promoted"]) == ("rollback", None)
        assert "wrong side of 0" in answer["reason"]

    def test_roll_back_what_a_guardrail_forbids_even_if_the_metric_is_better(self, experiments: Experiments) -> None:
        made = experiments.create(guardrails=[ERRORS])
        answer = experiments.count(
            made,
            share("a", "conversion", 2000, 200),
            share("b", "conversion", 2000, 400),
            share("a", "error_rate", 2000, 40),
            share("b", "error_rate", 2000, 120),
        ).json
        assert answer["decision"] == "rollback"
        assert answer["reason"] == (
            "b is rolled back: its error_rate is 6 % against 2 % of a (+200 %), and the always-valid interval "
            "of the change, +79.2 % to +510 %, lies beyond the 10 % that it may be worse."
        )

    def test_allow_a_guardrail_what_it_may_change(self, experiments: Experiments) -> None:
        made = experiments.create(guardrails=[{**ERRORS, "max_relative_change": 3.0}])
        answer = experiments.count(made, share("a", "error_rate", 2000, 40), share("b", "error_rate", 2000, 120)).json
        assert answer["decision"] == "continue"

    def test_end_inconclusive_when_all_samples_are_in(self, experiments: Experiments) -> None:
        made = experiments.create(looks=2)
        experiments.conversions(made, 2500, 250, 255)
        answer = experiments.conversions(made, 2500, 250, 260).json
        assert answer["decision"] == "inconclusive"
        assert answer["reason"].startswith("All 5,000 samples per variant are in, and no difference of b in conversion")

    def test_may_be_more_than_planned_and_overrun(self, experiments: Experiments) -> None:
        made = experiments.create(looks=2)
        for _ in range(9):
            assert experiments.conversions(made, 500, 50, 50).json["decision"] == "continue"
        last = experiments.conversions(made, 1500, 150, 150).json
        assert (last["decision"], last["looks"]) == ("inconclusive", 10)
        assert last["metrics"][0]["information"] == pytest.approx(1.2)

    def test_decide_nothing_of_too_little(self, experiments: Experiments) -> None:
        made = experiments.create()
        answer = experiments.conversions(made, 60, 0, 60).json
        assert answer["decision"] == "continue"
        assert "at least 100 of each variant are needed" in answer["reason"]

    def test_promote_nothing_while_units_are_split_wrongly(self, experiments: Experiments) -> None:
        made = experiments.create()
        answer = experiments.count(made, share("a", "conversion", 2500, 250), share("b", "conversion", 2000, 500)).json
        assert answer["split"]["is_mismatch"] is True
        assert answer["decision"] == "continue"
        assert answer["reason"].startswith("Units are split 2,500 to 2,000, which 0.5 to 0.5 would hardly ever give")
        assert experiments.count(made, share("b", "conversion", 500, 50)).json["decision"] == "promote"

    def test_leave_out_one_of_several_and_go_on_with_the_others(self, experiments: Experiments) -> None:
        made = experiments.create(variants=["a", "b", "c"])
        batch = [share(variant, "conversion", 1000, count) for variant, count in (("a", 150), ("b", 60), ("c", 155))]
        answer = experiments.count(made, *batch).json
        assert answer["decision"] == "continue"
        assert [each.get("decision") for each in answer["variants"]] == [None, "rollback", "continue"]
        batch = [share(variant, "conversion", 2000, count) for variant, count in (("a", 300), ("b", 600), ("c", 500))]
        answer = experiments.count(made, *batch).json
        assert (answer["decision"], answer["promoted"]) == ("promote", "c")

    def test_move_a_bandits_keys_to_what_is_better_and_no_others(self, experiments: Experiments) -> None:
        made = experiments.create(allocation={"type": "thompson", "floor": 0.1})
        keys = {"keys": [f"user-{number}" for number in range(1000)]}

        def assigned() -> list[str]:
            variants: list[str] = experiments.send("POST", f"/{made}/assignments", keys).json["variants"]
            return variants

        assert experiments.conversions(made, 50, 5, 9).json["suggested_weights"] == {"a": 0.5, "b": 0.5}
        before = assigned()
        answer = experiments.conversions(made, 300, 30, 42).json
        weights = {each["name"]: each["weight"] for each in answer["variants"]}
        assert weights == answer["suggested_weights"]
        assert weights["a"] + weights["b"] == pytest.approx(1)
        assert weights["b"] > 0.8 > 0.2 > weights["a"] >= 0.1
        after = assigned()
        # Of a thousand keys, within four standard deviations.
        assert after.count("b") / 1000 == pytest.approx(weights["b"], abs=4 * (0.25 / 1000) ** 0.5)
        assert ("b", "a") not in set(zip(before, after, strict=True))

    def test_keep_a_result_as_small_as_it_was(self, experiments: Experiments) -> None:
        made = experiments.create(max_samples_per_variant=1_000_000)
        sizes = [len(str(experiments.conversions(made, 250, 25, 25).json)) for _ in range(90)]
        assert max(sizes[80:]) <= 1.1 * max(sizes[:41])
        assert len(experiments.results(made)["plot"]["points"]) <= 40


class TestDecided:
    def test_counts_nothing_more_and_says_at_which_look(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiments.conversions(made, 2500, 250, 500)
        before = experiments.results(made)
        late = experiments.conversions(made, 2500, 2500, 0)
        assert late.status == 409
        assert "ended with promote at look 1" in late.json["detail"]
        assert experiments.results(made) == before
        exposed = experiments.send("POST", f"/{made}/exposures", {"exposures": [{"variant": "a", "key": "u"}]})
        assert exposed.status == 409

    def test_answers_a_repeated_batch_as_before(self, experiments: Experiments) -> None:
        made = experiments.create()
        first = experiments.conversions(made, 2500, 250, 500, key="k")
        again = experiments.conversions(made, 2500, 250, 500, key="k")
        assert (again.status, again.json) == (200, first.json)


class TestBatches:
    def test_sent_again_are_counted_once(self, experiments: Experiments) -> None:
        made = experiments.create()
        first, again = (experiments.conversions(made, 250, 25, 26, key="k") for _ in range(2))
        assert first.json == again.json
        assert experiments.conversions(made, 251, 25, 26, key="k").status == 409
        assert experiments.results(made)["metrics"][0]["n"] == {"a": 250, "b": 250}

    def test_whose_look_was_lost_are_looked_at_when_sent_again(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiment = experiments.service.get(USER, made)

        class Dies(type(experiments.store)):  # type: ignore[misc]
            def keep_look(self, *_: object) -> None:
                raise SystemExit

        batch = [
            CountsRequest(**share(variant, "conversion", 2500, count)) for variant, count in (("a", 250), ("b", 500))
        ]
        dying = type(experiments.outcomes)(Dies(experiments.store.table), experiments.outcomes.now)
        with pytest.raises(SystemExit):
            dying.count(USER, made, batch, "k")
        assert experiments.store.read("acme", made)[1].state.looks == 0  # type: ignore[index]
        _, progress = experiments.outcomes.count(USER, made, batch, "k")
        assert (progress.state.looks, progress.state.verdict.variant) == (1, "b")
        assert experiment.experiment_id == made

    def test_that_come_while_another_looks_are_in_the_next_look(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiments.conversions(made, 250, 25, 26)
        experiment, before = experiments.store.read("acme", made) or pytest.fail("it is there")
        after = look(experiment, before.counted, before.state)
        experiments.conversions(made, 250, 25, 26)
        with pytest.raises(Stale):
            experiments.store.keep_look(experiment, before.state, after, experiments.outcomes.now())
        assert experiments.results(made)["metrics"][0]["n"] == {"a": 500, "b": 500}

    def test_that_meet_a_decision_are_kept_out_whole(self, experiments: Experiments) -> None:
        made = experiments.create()
        experiments.send("POST", f"/{made}/stop")
        batch = [CountsRequest(**share("a", "conversion", 10, 1))]
        with pytest.raises(Conflict):
            experiments.outcomes.count(USER, made, batch, "k")
        assert experiments.store.read("acme", made)[1].counted.version == 0  # type: ignore[index]

    @pytest.mark.parametrize(
        ("counts", "field"),
        [
            ({"variant": "c"}, "counts.0.variant"),
            ({"metric": "revenue"}, "counts.0.metric"),
            ({"successes": 11}, "counts.0.successes"),
            ({"n": -1}, "counts.0.n"),
            ({"n": 10**9}, "counts.0.n"),
            ({"n": 1.5}, "counts.0.n"),
            ({"successes": None}, "counts.0"),
            ({"sum": 3.0}, "counts.0"),
        ],
    )
    def test_that_cannot_be_are_refused_by_field(
        self, experiments: Experiments, counts: dict[str, Any], field: str
    ) -> None:
        made = experiments.create()
        answer = experiments.count(made, {**share("a", "conversion", 10, 1), **counts})
        assert answer.status == 400
        assert [each["field"] for each in answer.json["errors"]] == [field]

    @pytest.mark.parametrize(
        ("sums", "field"),
        [
            ({"sum": 30, "sum_squares": 50}, "counts.0.sum_squares"),
            ({"sum": 1e8, "sum_squares": 1e15}, "counts.0.sum"),
            ({"sum": 0, "sum_squares": 1e14}, "counts.0.sum_squares"),
            ({"sum": 1, "sum_squares": -1}, "counts.0.sum_squares"),
        ],
    )
    def test_whose_moments_cannot_be_are_refused(
        self, experiments: Experiments, sums: dict[str, Any], field: str
    ) -> None:
        made = experiments.create(primary_metric={**CONVERSION, "type": "mean"})
        answer = experiments.count(made, {"variant": "a", "metric": "conversion", "n": 10, **sums})
        assert answer.status == 400
        assert answer.json["errors"][0]["field"] == field

    def test_are_either_counts_or_outcomes(self, experiments: Experiments) -> None:
        made = experiments.create()
        both = {
            "counts": [share("a", "conversion", 1, 1)],
            "outcomes": [{"key": "u", "metric": "conversion", "value": 1}],
        }
        for body in ({}, both):
            assert experiments.send("POST", f"/{made}/outcomes", body).status == 400

    def test_are_for_those_who_may(self, experiments: Experiments) -> None:
        made = experiments.create()
        body = {"counts": [share("a", "conversion", 1, 1)]}
        assert experiments.send("POST", f"/{made}/outcomes", body, caller=VIEWER).status == 403
