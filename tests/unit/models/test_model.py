"""A model's states, and what deployments do to them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.models.model import Archive, IllegalTransition, Model, ModelStatus, Use, mlflow_name

NOW = datetime(2026, 3, 1, tzinfo=UTC)
READY = Model(
    tenant="acme",
    model_id="m-1",
    user="alice",
    name="churn",
    version="1",
    framework="sklearn",
    archive=Archive("s3://bucket/model.tar.gz", 10, None),
    created_at=NOW,
    updated_at=NOW,
    kind="sklearn",
    servable=True,
    status=ModelStatus.READY,
)
LEGAL = {
    ("training", "ready"),
    ("training", "deprecated"),
    ("ready", "deployed"),
    ("ready", "deprecated"),
    ("deployed", "ready"),
}


class TestTransitions:
    @pytest.mark.parametrize(("before", "after"), list(itertools.permutations(ModelStatus, 2)))
    def test_allow_exactly_what_the_life_of_a_model_has(self, before: ModelStatus, after: ModelStatus) -> None:
        assert before.may_become(after) == ((before.value, after.value) in LEGAL)

    def test_nothing_leaves_deprecated(self) -> None:
        deprecated = READY.become(ModelStatus.DEPRECATED)
        for status in set(ModelStatus) - {ModelStatus.DEPRECATED}:
            with pytest.raises(IllegalTransition):
                deprecated.become(status)

    def test_becoming_what_it_is_changes_nothing(self) -> None:
        assert READY.become(ModelStatus.READY) is READY


class TestUses:
    def test_a_claim_leaves_the_status_and_serving_makes_it_deployed(self) -> None:
        claimed = READY.claimed_by("d-1")
        assert (claimed.status, claimed.uses) == (ModelStatus.READY, {"d-1": Use.CLAIMED})
        served = claimed.served_by("d-1", {"environment": "staging"})
        assert (served.status, served.uses) == (ModelStatus.DEPLOYED, {"d-1": Use.SERVED})
        assert served.deployment_config == {"environment": "staging"}

    def test_a_second_claim_does_not_forget_that_it_serves(self) -> None:
        served = READY.claimed_by("d-1").served_by("d-1", {})
        assert served.claimed_by("d-1").uses == {"d-1": Use.SERVED}
        assert served.claimed_by("d-1").unclaimed_by("d-1") == served

    def test_is_ready_again_when_the_last_deployment_lets_go(self) -> None:
        both = READY.served_by("d-1", {}).served_by("d-2", {})
        assert both.released_by("d-1").status is ModelStatus.DEPLOYED
        assert both.released_by("d-1").released_by("d-2").status is ModelStatus.READY

    def test_a_claim_alone_does_not_keep_it_deployed(self) -> None:
        model = READY.served_by("d-1", {}).claimed_by("d-2").released_by("d-1")
        assert (model.status, model.uses) == (ModelStatus.READY, {"d-2": Use.CLAIMED})

    @given(st.lists(st.tuples(st.sampled_from(["claim", "serve", "release", "unclaim"]), st.sampled_from("abc"))))
    def test_is_deployed_exactly_while_something_serves_it(self, steps: list[tuple[str, str]]) -> None:
        model = READY
        for step, deployment in steps:
            match step:
                case "claim":
                    model = model.claimed_by(deployment)
                case "serve":
                    model = model.served_by(deployment, {})
                case "release":
                    model = model.released_by(deployment)
                case "unclaim":
                    model = model.unclaimed_by(deployment)
            assert (model.status is ModelStatus.DEPLOYED) == (Use.SERVED in model.uses.values())


class TestMlflowName:
    def test_is_the_plain_name_for_the_default_tenant(self) -> None:
        assert mlflow_name("default", "churn") == "churn"

    def test_can_not_be_imitated_by_a_name_of_another_tenant(self) -> None:
        assert mlflow_name("acme", "churn") == "acme~churn"
        assert mlflow_name("acme", "churn") not in {
            mlflow_name("default", name) for name in ("acme.churn", "acme-churn", "acme churn")
        }

    def test_fits_mlflow(self) -> None:
        assert len(mlflow_name("t" * 48, "n" * 255)) <= 256
