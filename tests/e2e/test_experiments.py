"""Experiments over HTTP: decided by what is counted, and joined by keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aimatrix.client import Client, ConflictError, ForbiddenError, InvalidRequestError, NotFoundError
from tests.e2e.conftest import Cloud, aimatrix, last_json

pytestmark = pytest.mark.e2e

PLAN: dict[str, Any] = {
    "name": "button",
    "variants": ["blue", "green"],
    "primary_metric": {"name": "conversion", "type": "proportion", "direction": "increase", "baseline": 0.1},
    "guardrails": [
        {"name": "errors", "type": "proportion", "direction": "decrease", "max_relative_change": 0.1},
    ],
    "minimum_effect": 0.2,
    "looks": 20,
    "max_samples_per_variant": 5000,
}


@pytest.fixture
def ada(cloud: Cloud) -> Iterator[Client]:
    with cloud.client("ada", tenant="experiments") as client:
        yield client


def counts(metric: str, n: int, blue: int, green: int) -> list[dict[str, Any]]:
    each = (("blue", blue), ("green", green))
    return [{"variant": name, "metric": metric, "n": n, "successes": events} for name, events in each]


class TestAnExperiment:
    def test_is_decided_by_what_is_counted_and_counts_nothing_more(self, ada: Client) -> None:
        made = ada.experiments.create(PLAN)
        assert made.sample_size is not None
        looks = 0
        found = ada.experiments.results(made.id)
        while not found.is_decided():
            looks += 1
            batch = [*counts("conversion", 250, 20, 34), *counts("errors", 250, 5, 5)]
            found = ada.experiments.count(made.id, batch)
        assert (found.decision, found.promoted, found.looks) == ("promote", "green", looks)
        assert "green is promoted" in found.reason
        assert len(list(found.points())) == looks
        with pytest.raises(ConflictError):
            ada.experiments.count(made.id, counts("conversion", 1, 0, 0))
        ended = ada.experiments.get(made.id)
        assert (ended.status, ended.decision) == ("decided", "promote")
        assert ada.experiments.assign(made.id, ["anybody", "else"]) == ("green", "green")

    def test_is_rolled_back_by_a_guardrail_that_says_its_numbers(self, ada: Client) -> None:
        made = ada.experiments.create(PLAN)
        found = ada.experiments.results(made.id)
        samples = 0
        while not found.is_decided():
            samples += 100
            found = ada.experiments.count(made.id, [*counts("conversion", 100, 10, 10), *counts("errors", 100, 2, 6)])
        assert (found.decision, found.promoted) == ("rollback", None)
        assert samples <= 1500
        assert "errors is 6 % against 2 %" in found.reason

    def test_joins_outcomes_to_exposures_once_each(self, ada: Client) -> None:
        made = ada.experiments.create(PLAN)
        keys = [f"user-{number}" for number in range(40)]
        variants = ada.experiments.assign(made.id, keys)
        exposures = [{"key": key, "variant": variant} for key, variant in zip(keys, variants, strict=True)]
        assert ada.experiments.expose(made.id, exposures).counted == 40
        again = ada.experiments.expose(made.id, exposures[:5])
        assert (again.counted, again.duplicates) == (0, (0, 1, 2, 3, 4))
        outcomes = [{"key": key, "metric": "conversion", "value": 1} for key in (*keys[:10], "never seen")]
        joined, found = ada.experiments.report(made.id, outcomes)
        assert (joined.counted, joined.unmatched) == (10, (10,))
        late, found = ada.experiments.report(made.id, outcomes[:10])
        assert (late.counted, len(late.duplicates)) == (0, 10)
        shown = {each["name"]: each["exposures"] for each in found.document["variants"]}
        assert shown == {name: variants.count(name) for name in ("blue", "green")}

    def test_is_its_tenants_own(self, cloud: Cloud, ada: Client) -> None:
        made = ada.experiments.create(PLAN)
        with cloud.client("ada", tenant="elsewhere") as stranger, pytest.raises(NotFoundError):
            stranger.experiments.get(made.id)
        with cloud.client("vic", "VIEWER", tenant="experiments") as viewer:
            assert viewer.experiments.get(made.id).name == "button"
            with pytest.raises(ForbiddenError):
                viewer.experiments.count(made.id, counts("conversion", 1, 0, 0))

    def test_with_a_plan_that_makes_no_sense_is_refused_by_field(self, ada: Client) -> None:
        with pytest.raises(InvalidRequestError) as refused:
            ada.experiments.create({**PLAN, "variants": ["blue", "blue"], "alpha": 2})
        assert {problem.field for problem in refused.value.errors} >= {"alpha"}


class TestTheCommandLine:
    def test_makes_counts_shows_draws_and_stops(self, cloud: Cloud, tmp_path: Path) -> None:
        plan, batch, drawn = tmp_path / "plan.json", tmp_path / "batch.json", tmp_path / "effect.png"
        plan.write_text(json.dumps(PLAN), encoding="utf-8")
        batch.write_text(json.dumps(counts("conversion", 500, 45, 55)), encoding="utf-8")
        where = ("--state", str(cloud.state), "--json")
        made = last_json(aimatrix("experiments", "create", str(plan), *where).stdout)
        aimatrix("experiments", "count", made["id"], str(batch), *where)
        shown = last_json(aimatrix("experiments", "results", made["id"], "--plot", str(drawn), *where).stdout)
        assert (shown["decision"], shown["looks"]) == ("continue", 1)
        assert drawn.read_bytes().startswith(b"\x89PNG")
        assert last_json(aimatrix("experiments", "stop", made["id"], *where).stdout)["status"] == "stopped"
