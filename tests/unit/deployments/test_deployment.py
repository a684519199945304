"""A deployment's states and names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.deployments.deployment import (
    ENVIRONMENTS,
    Deployment,
    DeploymentStatus,
    IllegalTransition,
    Revision,
    Variant,
    endpoint_name,
    resource_name,
    same_shares,
    variant_name,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = Revision(1, (Variant("v1", "m-1", "1"),), {"environment": "staging", "replicas": 2}, "ml.m5.large")
SECOND = Revision(2, (Variant("v2", "m-2", "2"),), {"environment": "staging", "replicas": 2}, "ml.m5.large")
BEGUN = Deployment("acme", "d-1", "dora", "churn", "staging", "aimatrix-churn", FIRST, NOW, NOW)
ACTIVE = BEGUN.activated(NOW)
LEGAL = {
    ("deploying", "active"),
    ("deploying", "failed"),
    ("active", "deploying"),
    ("active", "inactive"),
    ("active", "failed"),
    ("failed", "deploying"),
    ("failed", "inactive"),
    ("inactive", "terminated"),
}
SAGEMAKER_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


class TestTransitions:
    @pytest.mark.parametrize(("before", "after"), list(itertools.permutations(DeploymentStatus, 2)))
    def test_allow_exactly_what_the_life_of_a_deployment_has(
        self, before: DeploymentStatus, after: DeploymentStatus
    ) -> None:
        assert before.may_become(after) == ((before.value, after.value) in LEGAL)

    def test_nothing_leaves_terminated(self) -> None:
        gone = ACTIVE.undeploying().terminated()
        steps: list[Callable[[], Deployment]] = [
            gone.undeploying,
            gone.terminated,
            partial(gone.failed, "x"),
            partial(gone.deploying, SECOND, "dora"),
        ]
        for step in steps:
            with pytest.raises(IllegalTransition):
                step()

    def test_nothing_can_be_kept_where_nothing_was_active(self) -> None:
        with pytest.raises(IllegalTransition):
            BEGUN.kept("broken", NOW)


class TestCurrent:
    def test_is_the_target_while_deploying_and_then_what_answers(self) -> None:
        updating = ACTIVE.deploying(SECOND, "dora")
        assert (updating.current, updating.active) == (SECOND, FIRST)
        assert updating.activated(NOW).current == SECOND
        assert updating.kept("broken", NOW).current == FIRST
        assert updating.failed("broken").current == SECOND

    def test_answers_from_the_first_success_until_it_is_taken_down(self) -> None:
        assert not BEGUN.answers()
        assert ACTIVE.answers()
        assert ACTIVE.deploying(SECOND, "dora").answers()
        assert not ACTIVE.undeploying().answers()
        assert not BEGUN.failed("broken").answers()

    def test_the_same_intent_is_told_by_all_but_the_number(self) -> None:
        assert FIRST.is_same_intent(replace(FIRST, number=9, base=3))
        assert not FIRST.is_same_intent(replace(FIRST, config={**FIRST.config, "replicas": 3}))
        assert not FIRST.is_same_intent(SECOND)


class TestWeights:
    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ({"a": 1, "b": 3}, {"a": 25, "b": 75}, True),
            ({"a": 0.1, "b": 0.9}, {"a": 0.10000000149011612, "b": 0.8999999761581421}, True),
            ({"a": 1, "b": 3}, {"a": 3, "b": 1}, False),
            ({"a": 1}, {"a": 1, "b": 0}, False),
            ({"a": 0, "b": 1}, {"a": 0, "b": 9}, True),
        ],
    )
    def test_are_the_same_when_everybody_gets_the_same(
        self, one: dict[str, float], other: dict[str, float], same: bool
    ) -> None:
        assert same_shares(one, other) is same

    def test_of_a_revision_that_only_weighs_anew_are_of_the_same_resources(self) -> None:
        assert replace(SECOND, number=5, base=2).resource("e") == SECOND.resource("e") == "e-2"


names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9 ._-]{0,254}\Z")


class TestNames:
    @given(
        tenant=st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?\Z"),
        name=names,
        environment=st.sampled_from(ENVIRONMENTS),
    )
    def test_are_what_sagemaker_takes(self, tenant: str, name: str, environment: str) -> None:
        endpoint = endpoint_name(tenant, name, environment)
        assert endpoint.startswith("aimatrix-")
        assert len(endpoint) <= 56
        for made in (endpoint, resource_name(endpoint, 1), resource_name(endpoint, 999_999)):
            assert SAGEMAKER_NAME.fullmatch(made)
            assert len(made) <= 63

    @given(version=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"))
    def test_of_variants_too(self, version: str) -> None:
        assert SAGEMAKER_NAME.fullmatch(variant_name(version))
        assert len(variant_name(version)) <= 63

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (("acme", "churn", "staging"), ("umbrella", "churn", "staging")),
            (("acme", "churn", "staging"), ("acme", "Churn", "staging")),
            (("acme", "churn-v2", "staging"), ("acme", "churn v2", "staging")),
            (("acme", "churn", "staging"), ("acme", "churn", "production")),
        ],
    )
    def test_differ_for_different_places(self, one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
        assert endpoint_name(*one) != endpoint_name(*other)
